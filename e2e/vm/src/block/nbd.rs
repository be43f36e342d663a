//! The NBD protocol as far as QEMU needs it: the fixed newstyle handshake, then reads, writes
//! (with force unit access), flushes and the end.
//!
//! Discards and zero writes are not offered; QEMU then sends zeros as ordinary writes. Numbers are
//! from the protocol's description (NetworkBlockDevice/nbd, doc/proto.md), big-endian.

use std::io::{self, Read, Write};

/// Longest request that is taken, as the protocol advises.
const MAX_REQUEST_BYTES: u32 = 32 << 20;
/// Longest option of the handshake.
const MAX_OPTION_BYTES: u32 = 64 << 10;

const GREETING: u64 = 0x4e42_444d_4147_4943; // "NBDMAGIC"
const OPTION: u64 = 0x4948_4156_454f_5054; // "IHAVEOPT"
const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
const REQUEST: u32 = 0x2560_9513;
const REPLY: u32 = 0x6744_6698;

const FLAG_FIXED_NEWSTYLE: u16 = 1;
const FLAG_NO_ZEROES: u16 = 2;
/// Flags are sent, and flushes and forced writes are understood.
const TRANSMISSION_FLAGS: u16 = 1 | 1 << 2 | 1 << 3;

const OPTION_EXPORT_NAME: u32 = 1;
const OPTION_ABORT: u32 = 2;
const OPTION_LIST: u32 = 3;
const OPTION_INFO: u32 = 6;
const OPTION_GO: u32 = 7;

const ANSWER_ACK: u32 = 1;
const ANSWER_SERVER: u32 = 2;
const ANSWER_INFO: u32 = 3;
const ANSWER_UNSUPPORTED: u32 = 1 << 31 | 1;

const INFO_EXPORT: u16 = 0;

/// The error numbers of replies.
pub(super) const EIO: u32 = 5;
pub(super) const EINVAL: u32 = 22;

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Read { length: usize },
    Write { data: Vec<u8>, is_forced: bool },
    Flush,
    Disconnect,
    Unknown,
}

/// One request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Repeated in the reply.
    pub(super) cookie: u64,
    pub(super) offset: u64,
    pub(super) command: Command,
}

/// Agrees with a client on the one disk; `false` if it only asked and left.
pub(super) fn handshake(stream: &mut (impl Read + Write), disk_bytes: u64) -> io::Result<bool> {
    let flags = FLAG_FIXED_NEWSTYLE | FLAG_NO_ZEROES;
    let greeting = [&GREETING.to_be_bytes()[..], &OPTION.to_be_bytes(), &flags.to_be_bytes()];
    stream.write_all(&greeting.concat())?;
    let wants_no_zeroes = u32_from(stream)? & u32::from(FLAG_NO_ZEROES) != 0;
    loop {
        if u64_from(stream)? != OPTION {
            return Err(io::Error::other("this is no NBD client"));
        }
        let option = u32_from(stream)?;
        let length = u32_from(stream)?;
        let _data = bytes_from(stream, length, MAX_OPTION_BYTES)?;
        let export = [&disk_bytes.to_be_bytes()[..], &TRANSMISSION_FLAGS.to_be_bytes()].concat();
        match option {
            OPTION_EXPORT_NAME => {
                let zeroes: &[u8] = if wants_no_zeroes { &[] } else { &[0; 124] };
                stream.write_all(&[&export, zeroes].concat())?;
                return Ok(true);
            }
            OPTION_GO | OPTION_INFO => {
                let info = [&INFO_EXPORT.to_be_bytes()[..], &export].concat();
                answer(stream, option, ANSWER_INFO, &info)?;
                answer(stream, option, ANSWER_ACK, &[])?;
                if option == OPTION_GO {
                    return Ok(true);
                }
            }
            OPTION_LIST => {
                // One disk, with an empty name.
                answer(stream, option, ANSWER_SERVER, &0_u32.to_be_bytes())?;
                answer(stream, option, ANSWER_ACK, &[])?;
            }
            OPTION_ABORT => {
                answer(stream, option, ANSWER_ACK, &[])?;
                return Ok(false);
            }
            _ => answer(stream, option, ANSWER_UNSUPPORTED, &[])?,
        }
    }
}

fn answer(stream: &mut impl Write, option: u32, kind: u32, data: &[u8]) -> io::Result<()> {
    let length = u32::try_from(data.len()).map_err(io::Error::other)?;
    let head = [option, kind, length].map(u32::to_be_bytes).concat();
    stream.write_all(&[&OPTION_REPLY.to_be_bytes()[..], &head, data].concat())
}

/// The next request; `None` when the client has gone.
pub(super) fn request(stream: &mut impl Read) -> io::Result<Option<Request>> {
    let magic = match u32_from(stream) {
        Ok(magic) => magic,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if magic != REQUEST {
        return Err(io::Error::other("this is no NBD request"));
    }
    let flags_and_kind = u32_from(stream)?;
    let is_forced = flags_and_kind >> 16 & 1 != 0;
    let cookie = u64_from(stream)?;
    let offset = u64_from(stream)?;
    let length = u32_from(stream)?;
    let command = match flags_and_kind & 0xffff {
        0 if length <= MAX_REQUEST_BYTES => {
            Command::Read { length: usize::try_from(length).map_err(io::Error::other)? }
        }
        1 => Command::Write { data: bytes_from(stream, length, MAX_REQUEST_BYTES)?, is_forced },
        2 => Command::Disconnect,
        3 => Command::Flush,
        _ => Command::Unknown,
    };
    Ok(Some(Request { cookie, offset, command }))
}

/// Answers a request: with an error number that is 0 for success, and with what was read.
pub(super) fn reply(
    stream: &mut impl Write,
    cookie: u64,
    error: u32,
    data: &[u8],
) -> io::Result<()> {
    let head = [&REPLY.to_be_bytes()[..], &error.to_be_bytes(), &cookie.to_be_bytes()].concat();
    stream.write_all(&head)?;
    stream.write_all(data)
}

fn u32_from(stream: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

fn u64_from(stream: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}

fn bytes_from(stream: &mut impl Read, length: u32, most: u32) -> io::Result<Vec<u8>> {
    if length > most {
        return Err(io::Error::other(format!("{length} bytes at once are more than {most}")));
    }
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}
