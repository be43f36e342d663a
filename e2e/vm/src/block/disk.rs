//! A disk with a volatile write cache: what was not flushed may be lost, whole or by sectors.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Write as _},
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use rand::{Rng, RngExt};

/// What a disk writes whole or not at all.
pub(crate) const SECTOR_BYTES: u64 = 512;

/// What is kept apart of the shared image: a page that was written to.
const PAGE_BYTES: u64 = 4096;
const PAGE: usize = 4096;

/// The image that a new disk begins as, shared by all machines and never written to.
#[derive(Debug)]
pub(crate) struct Fresh {
    file: File,
    size_bytes: u64,
}

impl Fresh {
    /// Opens an image; its length is the disk's size and a multiple of 4096.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size_bytes = file.metadata()?.len();
        if size_bytes % PAGE_BYTES != 0 {
            return Err(io::Error::other("the disk image is not a whole number of pages"));
        }
        Ok(Self { file, size_bytes })
    }

    /// A part of it.
    pub(crate) fn content(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut content = vec![0; length];
        self.file.read_exact_at(&mut content, range.start)?;
        Ok(content)
    }
}

/// The pages that differ from the fresh image. Cheap to clone: pages are shared until written to.
#[derive(Clone, Debug, Default)]
struct Pages(HashMap<u64, Arc<[u8; PAGE]>>);

/// One write since the last flush, in the order in which they came.
#[derive(Debug)]
struct Write {
    offset: u64,
    data: Vec<u8>,
    /// Asked for with "force unit access": it is on the disk when it is answered.
    is_forced: bool,
}

/// What became of the writes that were not flushed when the power was cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loss {
    /// Writes that reached the disk although nobody waited for it.
    pub(crate) kept: usize,
    /// Writes of which some sectors reached the disk.
    pub(crate) torn: usize,
    /// Writes that are gone.
    pub(crate) lost: usize,
}

/// A disk. Reads see every write; a [`cut`](Self::cut) sees those that were flushed, and of the
/// others what chance leaves.
#[derive(Debug)]
pub(crate) struct Disk {
    fresh: Arc<Fresh>,
    current: Pages,
    durable: Pages,
    unflushed: Vec<Write>,
}

impl Disk {
    pub(crate) fn new(fresh: Arc<Fresh>) -> Self {
        Self { fresh, current: Pages::default(), durable: Pages::default(), unflushed: Vec::new() }
    }

    /// Forgets all that was ever written.
    pub(crate) fn renew(&mut self) {
        *self = Self::new(Arc::clone(&self.fresh));
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.fresh.size_bytes
    }

    /// Whether a range lies on the disk.
    pub(crate) fn holds(&self, offset: u64, length: u64) -> bool {
        offset.checked_add(length).is_some_and(|end| end <= self.size_bytes())
    }

    /// Reads what was written last, flushed or not. The range must be [held](Self::holds).
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        read(&self.fresh, &self.current, offset, buffer)
    }

    /// Takes a write into the cache, or through it if it is forced.
    pub(crate) fn write(&mut self, offset: u64, data: Vec<u8>, is_forced: bool) -> io::Result<()> {
        write(&self.fresh, &mut self.current, offset, &data)?;
        // A forced write stays in order with the others: an older one over the same sectors must
        // not come after it.
        self.unflushed.push(Write { offset, data, is_forced });
        Ok(())
    }

    /// Makes every write durable.
    pub(crate) fn flush(&mut self) {
        for write in self.unflushed.drain(..) {
            for page in pages(write.offset, write.data.len()) {
                if let Some(content) = self.current.0.get(&page) {
                    self.durable.0.insert(page, Arc::clone(content));
                }
            }
        }
    }

    /// Cuts the power: of the unflushed writes a random part survives, and of each of them perhaps
    /// only some sectors. How much survives at all is random too, so that both ends occur.
    pub(crate) fn cut(&mut self, random: &mut impl Rng) -> io::Result<Loss> {
        let survival: f64 = [0.0, 0.2, 0.5, 0.8, 1.0][random.random_range(0..5)];
        let tearing: f64 = [0.0, 0.3, 1.0][random.random_range(0..3)];
        let mut loss = Loss::default();
        for Write { offset, data, is_forced } in std::mem::take(&mut self.unflushed) {
            if is_forced {
                write(&self.fresh, &mut self.durable, offset, &data)?;
                continue;
            }
            let is_torn = random.random_bool(tearing);
            let survives = random.random_bool(survival);
            let mut sectors = (0, 0);
            for range in sectors_of(offset, data.len()) {
                let reaches = if is_torn { random.random_bool(survival) } else { survives };
                if reaches {
                    let at = offset + range.start as u64;
                    write(&self.fresh, &mut self.durable, at, &data[range])?;
                    sectors.0 += 1;
                } else {
                    sectors.1 += 1;
                }
            }
            match sectors {
                (_, 0) => loss.kept += 1,
                (0, _) => loss.lost += 1,
                _ => loss.torn += 1,
            }
        }
        self.current = self.durable.clone();
        Ok(loss)
    }

    /// Loses every write to a range since the disk was new: the cut that chance makes too seldom.
    pub(crate) fn lose(&mut self, range: Range<u64>) -> io::Result<()> {
        let content = self.fresh.content(range.clone())?;
        self.write(range.start, content, false)?;
        self.flush();
        Ok(())
    }

    /// Reads what has been written last, as [`read`](Self::read) does, into a new buffer.
    pub(crate) fn content(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut buffer = vec![0; length];
        self.read(range.start, &mut buffer)?;
        Ok(buffer)
    }

    /// Writes the disk as it is now into a file, with holes where there are only zeros.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let mut file = File::create(path)?;
        file.set_len(self.size_bytes())?;
        let mut buffer = vec![0; 1 << 20];
        let mut offset = 0;
        while offset < self.size_bytes() {
            let left = usize::try_from(self.size_bytes() - offset).unwrap_or(usize::MAX);
            let length = buffer.len().min(left);
            let part = &mut buffer[..length];
            self.read(offset, part)?;
            if part.iter().any(|byte| *byte != 0) {
                file.write_all_at(part, offset)?;
            }
            offset += part.len() as u64;
        }
        file.flush()
    }
}

/// The numbers of the pages that a write touches.
fn pages(offset: u64, length: usize) -> Range<u64> {
    offset / PAGE_BYTES..(offset + length as u64).div_ceil(PAGE_BYTES)
}

/// The parts of a write that lie in one sector each.
fn sectors_of(offset: u64, length: usize) -> impl Iterator<Item = Range<usize>> {
    let mut begin = 0;
    std::iter::from_fn(move || {
        let at = offset + begin as u64;
        let room = SECTOR_BYTES - at % SECTOR_BYTES;
        let end = usize::try_from(room).map_or(length, |room| (begin + room).min(length));
        let range = begin..end;
        begin = end;
        (!range.is_empty()).then_some(range)
    })
}

/// The parts of a range that lie in one page each: page, place in the page, place in the range.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, Range<usize>)> {
    let mut begin = 0;
    std::iter::from_fn(move || {
        if begin == length {
            return None;
        }
        let at = offset + begin as u64;
        let within = usize::try_from(at % PAGE_BYTES).ok()?;
        let range = begin..(begin + PAGE - within).min(length);
        begin = range.end;
        Some((at / PAGE_BYTES, within, range))
    })
}

fn read(fresh: &Fresh, written: &Pages, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    for (page, within, range) in parts(offset, buffer.len()) {
        let part = &mut buffer[range];
        match written.0.get(&page) {
            Some(content) => part.copy_from_slice(&content[within..within + part.len()]),
            None => fresh.file.read_exact_at(part, page * PAGE_BYTES + within as u64)?,
        }
    }
    Ok(())
}

fn write(fresh: &Fresh, to: &mut Pages, offset: u64, data: &[u8]) -> io::Result<()> {
    for (page, within, range) in parts(offset, data.len()) {
        let part = &data[range];
        let content = match to.0.entry(page) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let mut content = [0; PAGE];
                if part.len() < PAGE {
                    fresh.file.read_exact_at(&mut content, page * PAGE_BYTES)?;
                }
                entry.insert(Arc::new(content))
            }
        };
        Arc::make_mut(content)[within..within + part.len()].copy_from_slice(part);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use anyhow::Result;
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    /// A disk of 64 kB that is full of ones.
    pub(crate) fn disk() -> Result<Disk> {
        let file = tempfile::NamedTempFile::new()?;
        file.as_file().write_all_at(&vec![1; 64 << 10], 0)?;
        Ok(Disk::new(Arc::new(Fresh::open(file.path())?)))
    }

    fn byte(disk: &Disk, offset: u64) -> Result<u8> {
        Ok(disk.content(offset..offset + 1)?[0])
    }

    #[test]
    fn what_was_flushed_survives_every_cut() -> Result<()> {
        for seed in 0..50 {
            let mut disk = disk()?;
            disk.write(1000, vec![2; 9000], false)?;
            disk.flush();
            disk.write(2000, vec![3; 10], true)?;
            disk.cut(&mut SmallRng::seed_from_u64(seed))?;
            let content = disk.content(0..64 << 10)?;
            for (index, byte) in content.iter().enumerate() {
                let expected = match index {
                    2000..2010 => 3,
                    1000..10_000 => 2,
                    _ => 1,
                };
                assert_eq!(*byte, expected, "byte {index}, seed {seed}");
            }
        }
        Ok(())
    }

    #[test]
    fn every_part_of_what_was_not_flushed_may_survive() -> Result<()> {
        let mut outcomes = HashSet::new();
        let mut torn = 0;
        for seed in 0..400 {
            let mut disk = disk()?;
            disk.write(0, vec![2; 1024], false)?;
            disk.write(512, vec![3; 512], false)?;
            let loss = disk.cut(&mut SmallRng::seed_from_u64(seed))?;
            assert_eq!(loss.kept + loss.torn + loss.lost, 2);
            torn += loss.torn;
            outcomes.insert((byte(&disk, 0)?, byte(&disk, 512)?));
        }
        // Each sector has any of its versions, in every combination.
        let all = [1, 2].into_iter().flat_map(|first| [1, 2, 3].map(|second| (first, second)));
        assert_eq!(outcomes, all.collect());
        assert!(torn > 0);
        Ok(())
    }

    #[test]
    fn a_forced_write_is_not_undone_by_an_older_one() -> Result<()> {
        for seed in 0..50 {
            let mut disk = disk()?;
            disk.write(512, vec![2; 512], false)?;
            disk.write(512, vec![3; 512], true)?;
            disk.cut(&mut SmallRng::seed_from_u64(seed))?;
            assert_eq!(byte(&disk, 600)?, 3, "seed {seed}");
        }
        Ok(())
    }

    #[test]
    fn a_cut_is_what_the_next_start_reads_and_what_is_saved() -> Result<()> {
        let mut disk = disk()?;
        let mut random = SmallRng::seed_from_u64(1);
        while byte(&disk, 5000)? != 7 {
            disk.write(5000, vec![7; 100], false)?;
            assert_eq!(byte(&disk, 5000)?, 7);
            disk.cut(&mut random)?;
        }
        disk.cut(&mut random)?;
        assert_eq!(byte(&disk, 5000)?, 7);
        let file = tempfile::NamedTempFile::new()?;
        disk.save(file.path())?;
        assert_eq!(std::fs::read(file.path())?, disk.content(0..64 << 10)?);
        Ok(())
    }

    #[test]
    fn a_lost_range_is_as_it_was_in_the_beginning_for_good() -> Result<()> {
        let mut disk = disk()?;
        disk.write(0, vec![2; 2048], false)?;
        disk.flush();
        disk.lose(512..1024)?;
        disk.cut(&mut SmallRng::seed_from_u64(1))?;
        let content: Vec<u8> =
            (0..5).map(|sector| byte(&disk, sector * 512)).collect::<Result<_>>()?;
        assert_eq!(content, [2, 1, 2, 2, 1]);
        Ok(())
    }

    #[test]
    fn what_lies_beyond_the_end_is_not_held() -> Result<()> {
        let disk = disk()?;
        assert!(disk.holds(0, 64 << 10) && disk.holds(64 << 10, 0));
        assert!(!disk.holds(1, 64 << 10) && !disk.holds(u64::MAX, 2));
        Ok(())
    }
}
