//! gzip on several processors: one stream, cut into blocks that are compressed side by side.
//!
//! Each block may refer to the 32 KiB before it (they are its dictionary) and ends at a byte
//! boundary, so the blocks simply follow one another in a single gzip member. The result does
//! not depend on the number of threads.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread::{self, JoinHandle},
};

use flate2::{Compress, Crc, FlushCompress, Status};

/// Uncompressed bytes in one block.
const BLOCK_BYTES: usize = 512 << 10;
/// How far deflate looks back.
const WINDOW_BYTES: usize = 32 << 10;
/// The level unless one is asked for: on root filesystem images as small as the usual 6 within
/// two percent, in three quarters of its time.
const DEFAULT_LEVEL: u32 = 4;
/// Magic, deflate, no flags, no time, no extra flags, unknown system (RFC 1952).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// A gzip compressor over `W`.
pub(super) struct ParallelGzip<W: Write> {
    output: W,
    block: Vec<u8>,
    dictionary: Vec<u8>,
    crc: Crc,
    jobs: Option<SyncSender<Job>>,
    /// Results to come, in the order of the blocks.
    pending: VecDeque<Receiver<Packed>>,
    workers: Vec<JoinHandle<()>>,
}

struct Job {
    block: Vec<u8>,
    dictionary: Vec<u8>,
    is_last: bool,
    reply: Sender<Packed>,
}

struct Packed {
    bytes: Vec<u8>,
    crc: Crc,
}

impl<W: Write> ParallelGzip<W> {
    pub(super) fn new(mut output: W, level: Option<u32>, threads: usize) -> io::Result<Self> {
        let level = flate2::Compression::new(level.unwrap_or(DEFAULT_LEVEL).clamp(1, 9));
        output.write_all(&HEADER)?;
        let (jobs, queue) = sync_channel(threads);
        let queue = Arc::new(Mutex::new(queue));
        let workers = (0..threads)
            .map(|_| {
                let queue = Arc::clone(&queue);
                thread::Builder::new().name("gzip".to_owned()).spawn(move || work(&queue, level))
            })
            .collect::<io::Result<_>>()?;
        Ok(Self {
            output,
            block: Vec::with_capacity(BLOCK_BYTES),
            dictionary: Vec::new(),
            crc: Crc::new(),
            jobs: Some(jobs),
            pending: VecDeque::new(),
            workers,
        })
    }

    /// Compresses what is left, ends the stream and gives the output back.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.submit(true)?;
        while !self.pending.is_empty() {
            self.write_oldest()?;
        }
        self.output.write_all(&self.crc.sum().to_le_bytes())?;
        // Both fields count modulo 2^32.
        self.output.write_all(&self.crc.amount().to_le_bytes())?;
        self.jobs = None;
        for worker in self.workers.drain(..) {
            worker.join().map_err(|_| worker_died())?;
        }
        Ok(self.output)
    }

    /// Hands the block to a worker, and waits for the oldest one when all of them are busy.
    fn submit(&mut self, is_last: bool) -> io::Result<()> {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK_BYTES));
        let window = block[block.len().saturating_sub(WINDOW_BYTES)..].to_vec();
        let dictionary = std::mem::replace(&mut self.dictionary, window);
        let (reply, result) = channel();
        let job = Job { block, dictionary, is_last, reply };
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(worker_died)?;
        self.pending.push_back(result);
        if self.pending.len() > 2 * self.workers.len() {
            self.write_oldest()?;
        }
        Ok(())
    }

    fn write_oldest(&mut self) -> io::Result<()> {
        let Some(oldest) = self.pending.pop_front() else { return Ok(()) };
        let Packed { bytes, crc } = oldest.recv().map_err(|_| worker_died())?;
        self.crc.combine(&crc);
        self.output.write_all(&bytes)
    }
}

impl<W: Write> Write for ParallelGzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = BLOCK_BYTES - self.block.len();
        let taken = bytes.len().min(room);
        self.block.extend_from_slice(&bytes[..taken]);
        if self.block.len() == BLOCK_BYTES {
            self.submit(false)?;
        }
        Ok(taken)
    }

    /// Does nothing: blocks are full until [`finish`](ParallelGzip::finish).
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn work(queue: &Mutex<Receiver<Job>>, level: flate2::Compression) {
    let mut compressor = Compress::new(level, false);
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { block, dictionary, is_last, reply }) = job else { return };
        let Some(packed) = pack(&mut compressor, &block, &dictionary, is_last) else { return };
        // Nobody waits for the result any more when writing has failed.
        if reply.send(packed).is_err() {
            return;
        }
    }
}

fn pack(
    compressor: &mut Compress,
    block: &[u8],
    dictionary: &[u8],
    is_last: bool,
) -> Option<Packed> {
    compressor.reset();
    if !dictionary.is_empty() {
        compressor.set_dictionary(dictionary).ok()?;
    }
    let flush = if is_last { FlushCompress::Finish } else { FlushCompress::Sync };
    let mut bytes = Vec::with_capacity(block.len() / 2 + 1024);
    loop {
        let taken = usize::try_from(compressor.total_in()).ok()?;
        let status = compressor.compress_vec(&block[taken..], &mut bytes, flush).ok()?;
        let all_taken = compressor.total_in() == block.len() as u64;
        // Room left over means that nothing is held back.
        let all_given = bytes.len() < bytes.capacity();
        if status == Status::StreamEnd || !is_last && all_taken && all_given {
            break;
        }
        bytes.reserve(block.len() / 4 + 1024);
    }
    let mut crc = Crc::new();
    crc.update(block);
    Some(Packed { bytes, crc })
}

fn worker_died() -> io::Error {
    io::Error::other("a compressing thread failed")
}
