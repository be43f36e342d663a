//! A folder as a tar archive: the same bytes for the same folder.

use std::{
    collections::HashMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context;
use tar::{Builder, EntryType, Header};

/// Packs a folder under the name `root`, in the order of names; owners are numbers.
pub(super) fn pack(folder: &Path, root: &Path, sink: &mut dyn Write) -> anyhow::Result<()> {
    let metadata =
        fs::metadata(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    anyhow::ensure!(metadata.is_dir(), "{} is not a folder", folder.display());
    let mut archive = Builder::new(sink);
    archive.follow_symlinks(false);
    let mut packer = Packer { archive, files: HashMap::new() };
    packer.add(folder, root)?;
    packer.archive.finish().context("cannot end the archive")
}

struct Packer<'a> {
    archive: Builder<&'a mut dyn Write>,
    /// Where files with several names are in the archive, by device and inode.
    files: HashMap<(u64, u64), PathBuf>,
}

impl Packer<'_> {
    fn add(&mut self, path: &Path, name: &Path) -> anyhow::Result<()> {
        let context = || format!("cannot pack {}", path.display());
        let metadata = fs::symlink_metadata(path).with_context(context)?;
        if let Some(first) = self.first_name(&metadata, name) {
            let mut header = Header::new_gnu();
            header.set_metadata(&metadata);
            header.set_entry_type(EntryType::Link);
            header.set_size(0);
            return self.archive.append_link(&mut header, name, first).with_context(context);
        }
        self.archive.append_path_with_name(path, name).with_context(context)?;
        if metadata.is_dir() {
            let entries: Result<Vec<_>, _> = fs::read_dir(path).with_context(context)?.collect();
            let mut entries = entries.with_context(context)?;
            entries.sort_by_key(fs::DirEntry::file_name);
            for entry in entries {
                self.add(&entry.path(), &name.join(entry.file_name()))?;
            }
        }
        Ok(())
    }

    /// The name under which a file is in the archive already; without one, it gets this one.
    #[cfg(unix)]
    fn first_name(&mut self, metadata: &fs::Metadata, name: &Path) -> Option<PathBuf> {
        use std::os::unix::fs::MetadataExt;
        if !metadata.is_file() || metadata.nlink() < 2 {
            return None;
        }
        let id = (metadata.dev(), metadata.ino());
        let first = self.files.get(&id).cloned();
        if first.is_none() {
            self.files.insert(id, name.to_owned());
        }
        first
    }

    #[cfg(not(unix))]
    fn first_name(&mut self, _: &fs::Metadata, _: &Path) -> Option<PathBuf> {
        None
    }
}
