//! Each way to classify bytes beside one that looks at them one by one, and heads cut by each of them
//! beside a reading that knows no blocks.

use super::*;
use crate::http1::framing::{is_token, is_token_byte, is_value_byte};

/// Calls `check!(name, classify)` for every way this processor has.
macro_rules! for_each_way {
    ($check:ident) => {
        $check("portable", portable::Portable);
        #[cfg(target_arch = "x86_64")]
        $check("sse2", sse2::Sse2);
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = avx2::Avx2::detect() {
            $check("avx2", avx2);
        }
    };
}

/// Numbers that look random, the same in each run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

fn classes_of<C: Classify>(bytes: &[u8]) -> Classes {
    let mut classes = Classes { name: 0, stop: 0 };
    for (index, &byte) in bytes.iter().enumerate() {
        let in_name =
            if C::NAMES { is_token_byte(byte) } else { is_value_byte(byte) && byte != b':' };
        classes.name |= u64::from(in_name) << index;
        classes.stop |= u64::from(!is_value_byte(byte)) << index;
    }
    classes
}

fn every_byte_at_every_place<C: Classify>(way: &str, classify: C) {
    for byte in 0..=255 {
        for other in [b'a', b':', b' ', b'\t', b'\r', 0, 0x7f, 0x80, 0xff] {
            for at in 0..64 {
                let mut block = [other; 64];
                block[at] = byte;
                let at = format!("{way}: {byte} at {at} among {other}");
                assert_eq!(classify.sixty_four(&block), classes_of::<C>(&block), "{at}");
                let Some(half) = block.first_chunk() else { unreachable!() };
                assert_eq!(classify.thirty_two(half), classes_of::<C>(half), "{at}");
                let Some(quarter) = block.first_chunk() else { unreachable!() };
                assert_eq!(classify.sixteen(quarter), classes_of::<C>(quarter), "{at}");
            }
        }
    }
}

#[test]
fn bytes_are_classified_alike() {
    for_each_way!(every_byte_at_every_place);
}

/// The first line, the fields and the length of a head.
type Cut<'i> = (&'i [u8], Vec<(&'i str, &'i [u8])>, usize);

fn cut<C: Classify>(input: &[u8], classify: C) -> Option<Cut<'_>> {
    let (first, mut lines) = Lines::new(input, classify)?;
    let mut fields = Vec::new();
    loop {
        match lines.next()? {
            Line::Field(field) => fields.push((field.name, field.value)),
            Line::End(bytes) => return Some((first, fields, bytes)),
        }
    }
}

/// The same, one byte at a time.
fn cut_slowly(input: &[u8]) -> Option<Cut<'_>> {
    let line_at = |at: usize| -> Option<&[u8]> {
        let line = &input[at..];
        let end = line.iter().position(|&byte| !is_value_byte(byte))?;
        line[end..].starts_with(b"\r\n").then_some(&line[..end])
    };
    if input.len() < 16 {
        return None;
    }
    let first = line_at(0)?;
    let (mut at, mut fields) = (first.len() + 2, Vec::new());
    loop {
        let line = line_at(at)?;
        at += line.len() + 2;
        if line.is_empty() {
            return Some((first, fields, at));
        }
        let colon = line.iter().position(|&byte| byte == b':')?;
        let (name, mut value) = (&line[..colon], &line[colon + 1..]);
        while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
            value = rest;
        }
        fields.push((is_token(name).then(|| str::from_utf8(name).unwrap())?, value));
    }
}

/// Compares the two at each place in memory that a block can begin at, or at some.
fn compare(input: &[u8], places: impl Iterator<Item = usize>) -> bool {
    let expect = cut_slowly(input);
    for place in places {
        // What stands around it must not matter: a head could end there.
        let mut memory = b"\r\n".repeat(64);
        memory.splice(place..place + 1, input.iter().copied());
        let input = &memory[place..place + input.len()];
        let check = |way: &str, found: Option<Cut<'_>>| {
            assert_eq!(found, expect, "{way} at {place}: {}", input.escape_ascii());
        };
        check("portable", cut(input, portable::Portable));
        #[cfg(target_arch = "x86_64")]
        check("sse2", cut(input, sse2::Sse2));
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = avx2::Avx2::detect() {
            check("avx2", cut(input, avx2));
        }
    }
    expect.is_some()
}

/// Lines, and what comes of lines that go wrong.
const PIECES: &[&[u8]] = &[
    b"A",
    b"Host",
    b"X-Y_Z",
    b"a!#$%&'*+.^`|~",
    b":",
    b": ",
    b":\t ",
    b" ",
    b"\t",
    b"v",
    b"a, b;c=\"d\"",
    b"http://h:1/",
    b"\xe4",
    b"\r\n",
    b"\r\n",
    b"A:\r\n",
    b"B: c\r\n",
    b"Long-Name-Of-A-Field: w\r\n",
    b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    b"\r\n\r\n",
];

const FAULTS: &[&[u8]] = &[
    b"\r", b"\n", b"\0", b"\x7f", b"\x1f", b"\x80", b"\n\r", b"\r\n ", b"\r\r\n", b" :", b"\"", b"",
];

#[test]
fn heads_of_every_length_are_cut_alike_at_every_place() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut whole = 0;
    for bytes in 0..=200 {
        // Right up to the length, as nearly as pieces go, and then mostly an end.
        for round in 0..4 {
            let mut input = b"GET / HTTP/1.1\r\n".to_vec();
            while input.len() + 8 < bytes {
                let name = "N".repeat(1 + numbers.below(20));
                let value = "v ".repeat(numbers.below(20));
                input.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
            input.truncate(bytes.saturating_sub(4));
            while input.len() + 4 < bytes {
                input.push(b'y');
            }
            input.extend_from_slice(b"\r\n\r\n");
            if round > 0 {
                let fault = FAULTS[numbers.below(FAULTS.len())];
                let at = numbers.below(input.len());
                input.splice(at..at + numbers.below(2), fault.iter().copied());
            }
            whole += usize::from(compare(&input, 0..64));
        }
    }
    assert!(whole > 100, "{whole} heads without a fault are too few to tell");
}

#[test]
fn lines_of_any_pieces_are_cut_alike() {
    let mut numbers = Numbers(1);
    let mut whole = 0;
    for _ in 0..20_000 {
        let mut input = b"GET / HTTP/1.1\r\n".to_vec();
        for _ in 0..numbers.below(12) {
            let pieces = if numbers.below(12) == 0 { FAULTS } else { PIECES };
            input.extend_from_slice(pieces[numbers.below(pieces.len())]);
        }
        let place = numbers.below(64);
        whole += usize::from(compare(&input, place..place + 1));
    }
    assert!(whole > 1000, "{whole} heads without a fault are too few to tell");
}

#[test]
fn a_head_cut_off_anywhere_is_not_whole() {
    let head = b"GET /a HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\
                 User-Agent: 0123456789012345678901234567890123456789\r\nX:\r\n\r\n";
    for bytes in 0..head.len() {
        assert!(!compare(&head[..bytes], 0..64));
    }
    assert!(compare(head, 0..64));
}

/// Names and values of any length, so that each part of a line comes to lie on the edge of a block.
#[test]
fn every_part_of_a_line_may_cross_from_one_block_to_the_next() {
    for name in 1..=70 {
        for value in 0..=70 {
            let line = format!("{}: {}\r\n", "n".repeat(name), "v".repeat(value));
            let head = format!("GET / HTTP/1.1\r\n{line}{line}X: y\r\n\r\n");
            assert!(compare(head.as_bytes(), 0..1));
        }
    }
}
