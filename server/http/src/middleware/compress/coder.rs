//! The encoders, and their reuse.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use flate2::{Compress, Compression, FlushCompress, Status};
use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation, OutBuffer};

use crate::negotiate::Encoding;

/// Encoders of each kind that wait to be used again.
const IDLE: usize = 4;

/// How much room there is for output at a time, at least.
const ROOM: usize = 4096;

/// Windows of 256 KiB: what is sent on the fly is rarely larger, and most of an encoder's memory
/// grows with its window.
const WINDOW_BITS: u32 = 18;

/// How hard each encoder tries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Levels {
    pub(super) gzip: u32,
    pub(super) brotli: u32,
    pub(super) zstd: u32,
}

/// The encoders of one lane.
pub(super) struct Pool {
    levels: Levels,
    gzip: Vec<Compress>,
    zstd: Vec<Encoder<'static>>,
    /// Encoders that are lent to streams.
    lent: usize,
    lent_max: usize,
}

enum Coder {
    Gzip(Compress),
    /// Cannot be used again.
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(Encoder<'static>),
    /// Has ended.
    Over,
}

/// An encoder that goes back to where it came from.
pub(super) struct Lease {
    coder: Coder,
    pool: Rc<RefCell<Pool>>,
    counted: bool,
}

impl Pool {
    pub(super) fn new(levels: Levels, lent_max: usize) -> Pool {
        Pool { levels, gzip: Vec::new(), zstd: Vec::new(), lent: 0, lent_max }
    }

    fn coder(&mut self, encoding: Encoding, bytes: Option<u64>) -> io::Result<Coder> {
        Ok(match encoding {
            Encoding::Identity => Coder::Over,
            Encoding::Gzip => Coder::Gzip(match self.gzip.pop() {
                Some(mut coder) => {
                    coder.reset();
                    coder
                }
                None => Compress::new_gzip(Compression::new(self.levels.gzip), 15),
            }),
            Encoding::Brotli => {
                let params = BrotliEncoderParams {
                    quality: self.levels.brotli as i32,
                    lgwin: WINDOW_BITS as i32,
                    size_hint: bytes.and_then(|bytes| bytes.try_into().ok()).unwrap_or(0),
                    ..BrotliEncoderParams::default()
                };
                Coder::Brotli(Box::new(CompressorWriter::with_params(Vec::new(), ROOM, &params)))
            }
            Encoding::Zstd => {
                let mut coder = match self.zstd.pop() {
                    Some(mut coder) => {
                        coder.reinit()?;
                        coder
                    }
                    None => {
                        let mut coder = Encoder::new(self.levels.zstd as i32)?;
                        coder.set_parameter(CParameter::WindowLog(WINDOW_BITS))?;
                        coder
                    }
                };
                coder.set_pledged_src_size(bytes)?;
                Coder::Zstd(coder)
            }
        })
    }
}

impl Lease {
    /// An encoder for content of this length, used up before this turn ends. `None` if it cannot be
    /// had.
    pub(super) fn brief(pool: &Rc<RefCell<Pool>>, encoding: Encoding, bytes: u64) -> Option<Lease> {
        let coder = pool.borrow_mut().coder(encoding, Some(bytes)).ok()?;
        Some(Lease { coder, pool: pool.clone(), counted: false })
    }

    /// An encoder for content that is sent piece by piece. `None` if too many are in use.
    pub(super) fn lasting(
        pool: &Rc<RefCell<Pool>>,
        encoding: Encoding,
        bytes: Option<u64>,
    ) -> Option<Lease> {
        let mut lender = pool.borrow_mut();
        if lender.lent >= lender.lent_max {
            return None;
        }
        let coder = lender.coder(encoding, bytes).ok()?;
        lender.lent += 1;
        Some(Lease { coder, pool: pool.clone(), counted: true })
    }

    /// Takes in content, and adds to `out` what comes of it so far.
    pub(super) fn write(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.coder {
            Coder::Gzip(coder) => deflate(coder, input, out, FlushCompress::None),
            Coder::Brotli(coder) => {
                coder.write_all(input)?;
                out.append(coder.get_mut());
                Ok(())
            }
            Coder::Zstd(coder) => {
                while !input.is_empty() {
                    let mut from = InBuffer::around(input);
                    into(out, |to| coder.run(&mut from, to))?;
                    input = &input[from.pos()..];
                }
                Ok(())
            }
            Coder::Over => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Adds to `out` what the client needs to understand all that was taken in.
    pub(super) fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.coder {
            Coder::Gzip(coder) => deflate(coder, &[], out, FlushCompress::Sync),
            Coder::Brotli(coder) => {
                coder.flush()?;
                out.append(coder.get_mut());
                Ok(())
            }
            Coder::Zstd(coder) => {
                while into(out, |to| coder.flush(to))? > 0 {}
                Ok(())
            }
            Coder::Over => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Adds the end to `out`.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.coder {
            Coder::Gzip(coder) => deflate(coder, &[], out, FlushCompress::Finish),
            Coder::Brotli(_) => {
                if let Coder::Brotli(coder) = std::mem::replace(&mut self.coder, Coder::Over) {
                    out.append(&mut coder.into_inner());
                }
                Ok(())
            }
            Coder::Zstd(coder) => {
                while into(out, |to| coder.finish(to, true))? > 0 {}
                Ok(())
            }
            Coder::Over => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut pool = self.pool.borrow_mut();
        pool.lent -= usize::from(self.counted);
        match std::mem::replace(&mut self.coder, Coder::Over) {
            Coder::Gzip(coder) if pool.gzip.len() < IDLE => pool.gzip.push(coder),
            Coder::Zstd(coder) if pool.zstd.len() < IDLE => pool.zstd.push(coder),
            _ => {}
        }
    }
}

/// Adds to `out` what one step of zstd yields, and returns what the step did.
fn into(
    out: &mut Vec<u8>,
    step: impl FnOnce(&mut OutBuffer<'_, Vec<u8>>) -> io::Result<usize>,
) -> io::Result<usize> {
    out.reserve(ROOM);
    let at = out.len();
    step(&mut OutBuffer::around_pos(out, at))
}

fn deflate(
    coder: &mut Compress,
    mut input: &[u8],
    out: &mut Vec<u8>,
    flush: FlushCompress,
) -> io::Result<()> {
    loop {
        out.reserve(ROOM);
        let before = coder.total_in();
        let status = coder.compress_vec(input, out, flush).map_err(io::Error::other)?;
        // Never more than was given.
        input = &input[(coder.total_in() - before) as usize..];
        // With room left over, all that was asked for is there.
        let has_room = out.len() < out.capacity();
        if status == Status::StreamEnd || (input.is_empty() && has_room) {
            return Ok(());
        }
    }
}
