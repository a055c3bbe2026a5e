//! Heads cut in each way beside a reading that looks at one byte after the other, and the classes that
//! one of the ways rests on beside the bytes they stand for.

use super::*;
use crate::http1::framing::{is_token_byte, is_value_byte};
use crate::http1::host::is_host_byte;
use crate::http1::target::is_plain_byte;

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

#[cfg(target_arch = "x86_64")]
#[test]
fn every_byte_is_classified_alike_at_every_place() {
    let classes_of = |bytes: &[u8]| {
        let mut classes = avx2::Classes::NONE;
        for (index, &byte) in bytes.iter().enumerate() {
            classes.name |= u64::from(is_token_byte(byte)) << index;
            classes.stop |= u64::from(!is_value_byte(byte)) << index;
        }
        classes
    };
    let Some(avx2) = avx2::Avx2::detect() else { return };
    for byte in 0..=255 {
        for other in [b'a', b':', b' ', b'\t', b'\r', 0, 0x7f, 0x80, 0xff] {
            for at in 0..64 {
                let mut block = [other; 64];
                block[at] = byte;
                let at = format!("{byte} at {at} among {other}");
                assert_eq!(avx2.sixty_four(&block), classes_of(&block), "{at}");
                let half = block.first_chunk().unwrap();
                assert_eq!(avx2.thirty_two(half), classes_of(half), "{at}");
                let quarter = block.first_chunk().unwrap();
                assert_eq!(avx2.sixteen(quarter), classes_of(quarter), "{at}");
            }
        }
    }
}

/// The first line, the fields and the length of a head.
type Cut<'i> = (&'i [u8], Vec<(&'i str, &'i [u8])>, usize);

fn cut<W: Way>(input: &[u8], way: W) -> Option<Cut<'_>> {
    let (first, mut lines) = way.lines(input)?;
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
    if input.len() < BYTES_MIN {
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
        let is_token = !name.is_empty() && name.iter().all(|&byte| is_token_byte(byte));
        fields.push((is_token.then(|| str::from_utf8(name).unwrap())?, value));
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
        check("portable", cut(input, walk::Portable));
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

/// Parts of any length, anywhere in a head of any length, with one byte that is not of the class, or
/// none; what stands around the part must not matter.
#[cfg(target_arch = "x86_64")]
#[test]
fn parts_are_told_by_their_class_wherever_they_are() {
    let Some(avx2) = avx2::Avx2::detect() else { return };
    for (class, is_in, others) in [
        (Class::Host, is_host_byte as fn(u8) -> bool, b":/,\xe1 "),
        (Class::Target, is_plain_byte, b"#%\\\xe1 "),
    ] {
        let inside = (0..128).find(|&byte| is_in(byte)).unwrap();
        for (start, bytes, behind) in (0..40).step_by(3).chain([70]).flat_map(|start| {
            (0..70).flat_map(move |bytes| [0, 4, 40].map(|behind| (start, bytes, behind)))
        }) {
            let odd = others[bytes % others.len()];
            let around = if bytes % 2 == 0 { inside } else { odd };
            for at in [0, bytes / 2, bytes.saturating_sub(1), bytes] {
                let mut head = vec![around; start + bytes + behind];
                head[start..start + bytes].fill(inside);
                if at < bytes {
                    head[start + at] = odd;
                }
                let part = &head[start..start + bytes];
                let shown = format!("{at} of {bytes} at {start}, {behind} behind");
                match front_in(&head, part, class, avx2) {
                    Some(front) => {
                        assert_eq!(front, at.min(32), "{shown}");
                        let text = text_in(&head, part, class, avx2).map(str::as_bytes);
                        assert_eq!(text, (at == bytes).then_some(part), "{shown}");
                    }
                    None => assert!(start + bytes < 32 && bytes + behind < 32, "{shown}"),
                }
            }
        }
    }
}

/// The quick test for control bytes looks at eight at once, and at the last ones alone.
#[test]
fn the_first_control_byte_is_found_among_any_others() {
    for byte in 0..=255 {
        for other in [b'a', b' ', b'\t', b'!', 0x7e, 0x80, 0xa0, 0xff, 0x9f] {
            for at in 0..24 {
                for behind in [b'\r', b'a', 0x20, 0x80, 0x7f] {
                    let mut line = b"N:".to_vec();
                    line.extend([other].repeat(at));
                    line.push(byte);
                    line.extend([behind].repeat(9));
                    line.extend_from_slice(b"\r\n");
                    compare(&[b"GET / HTTP/1.1\r\n", &line[..], b"\r\n"].concat(), 0..1);
                }
            }
        }
    }
}
