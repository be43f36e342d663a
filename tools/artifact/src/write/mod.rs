//! Making Artifacts: what goes in is collected and checked by a [`Builder`], then streamed out.

mod check;
mod container;
mod defaults;
mod documents;
mod encode;
mod error;
mod gzip;
mod resign;
mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::{Seek, Write},
    path::PathBuf,
};

use serde_json::{Map, Value};

use crate::{Compression, HeaderDepends, PayloadType, Script, SigningAlgorithm, SigningKey};

pub use defaults::SoftwareVersion;
pub use error::WriteError;
pub use resign::{Resign, sign};
use source::Input;

/// Collects what goes into an Artifact, then writes it.
///
/// The result depends on the input alone, byte for byte: times are those of the payload files or
/// [`modified_unix`](Self::modified_unix), never the clock's (ECDSA signatures excepted, which
/// are random by nature).
///
/// ```
/// # fn main() -> Result<(), rota_artifact::WriteError> {
/// use rota_artifact::Builder;
///
/// let artifact: Vec<u8> = Builder::module_image("single-file", "release-1")
///     .device_type("qemux86-64")
///     .file_bytes("motd", "hello\n")
///     .to_vec()?;
/// # Ok(())
/// # }
/// ```
pub struct Builder {
    name: String,
    group: Option<String>,
    depends: HeaderDepends,
    payload_type: PayloadType,
    payload_depends: BTreeMap<String, String>,
    payload_provides: BTreeMap<String, String>,
    clears_provides: Vec<String>,
    software: SoftwareVersion,
    /// Keys that give way to the software version, because it was named after them.
    provided_before_software: BTreeSet<String>,
    defaults: defaults::Switches,
    files: Vec<Input>,
    meta_data: Map<String, Value>,
    scripts: Vec<Script>,
    compression: Compression,
    level: Option<u32>,
    modified_unix: Option<u64>,
    threads: usize,
    key: Option<SigningKey>,
    progress: Progress,
}

/// Told how many payload bytes were just put into the Artifact.
type Progress = Box<dyn FnMut(u64) + Send>;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Size of the Artifact in bytes.
    pub size_bytes: u64,
    /// How it was signed, if it was.
    pub signed: Option<SigningAlgorithm>,
}

impl Builder {
    /// An Artifact with a whole root filesystem image; add exactly one file.
    pub fn rootfs_image(name: impl Into<String>) -> Self {
        Self::new(PayloadType::Module(PayloadType::ROOTFS_IMAGE.to_owned()), name.into())
    }

    /// An Artifact for the Update Module `payload_type`, with any number of files.
    pub fn module_image(payload_type: impl Into<String>, name: impl Into<String>) -> Self {
        Self::new(PayloadType::Module(payload_type.into()), name.into())
    }

    /// An Artifact with an empty payload, which only changes provides.
    pub fn bootstrap(name: impl Into<String>) -> Self {
        Self::new(PayloadType::Empty, name.into())
    }

    fn new(payload_type: PayloadType, name: String) -> Self {
        Self {
            name,
            group: None,
            depends: HeaderDepends::default(),
            payload_type,
            payload_depends: BTreeMap::new(),
            payload_provides: BTreeMap::new(),
            clears_provides: Vec::new(),
            software: SoftwareVersion::default(),
            provided_before_software: BTreeSet::new(),
            defaults: defaults::Switches::default(),
            files: Vec::new(),
            meta_data: Map::new(),
            scripts: Vec::new(),
            compression: Compression::default(),
            level: None,
            modified_unix: None,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            key: None,
            progress: Box::new(|_| {}),
        }
    }

    /// Adds a device type that it can be installed on; one is needed.
    #[must_use]
    pub fn device_type(mut self, device_type: impl Into<String>) -> Self {
        self.depends.device_types.push(device_type.into());
        self
    }

    /// Adds an Artifact name that must be installed before (one of all those added).
    #[must_use]
    pub fn depends_on_artifact(mut self, name: impl Into<String>) -> Self {
        self.depends.artifact_names.push(name.into());
        self
    }

    /// Adds a group that the installed Artifact must have (one of all those added).
    #[must_use]
    pub fn depends_on_group(mut self, group: impl Into<String>) -> Self {
        self.depends.artifact_groups.push(group.into());
        self
    }

    /// Sets the Artifact's group.
    #[must_use]
    pub fn provides_group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Demands that the device provides `key` with `value`; the last value of a key counts.
    #[must_use]
    pub fn depends(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.payload_depends.insert(key.into(), value.into());
        self
    }

    /// Lets the device provide `key` with `value` after installation. The last value of a key
    /// counts; an automatic one of the same key gives way, unless [`software`](Self::software) is
    /// called later.
    #[must_use]
    pub fn provides(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.payload_provides.insert(key.into(), value.into());
        self
    }

    /// Adds a pattern of provides that installation removes first; those added here come before
    /// the automatic ones.
    #[must_use]
    pub fn clears_provides(mut self, pattern: impl Into<String>) -> Self {
        self.clears_provides.push(pattern.into());
        self
    }

    /// Says under which name and version the payload appears among the device's software.
    #[must_use]
    pub fn software(mut self, software: SoftwareVersion) -> Self {
        self.software = software;
        self.provided_before_software = self.payload_provides.keys().cloned().collect();
        self
    }

    /// Adds no version to the provides unless [`software`](Self::software) names one, and clears
    /// nothing by itself.
    #[must_use]
    pub fn without_default_software_version(mut self) -> Self {
        self.defaults.software_version = false;
        self
    }

    /// Clears nothing but what [`clears_provides`](Self::clears_provides) says.
    #[must_use]
    pub fn without_default_clears_provides(mut self) -> Self {
        self.defaults.clears_provides = false;
        self
    }

    /// Adds no `rootfs-image.checksum` to the provides of a root filesystem image.
    #[must_use]
    pub fn without_checksum_provide(mut self) -> Self {
        self.defaults.checksum_key = None;
        self
    }

    /// Provides a root filesystem image's checksum under the key `rootfs_image_checksum`, as
    /// clients before 2.4 want it.
    #[must_use]
    pub fn legacy_checksum_provide(mut self) -> Self {
        self.defaults.checksum_key = Some(defaults::LEGACY_CHECKSUM_KEY);
        self
    }

    /// Adds the file at `path` to the payload, under its base name.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(Input::Path(path.into()));
        self
    }

    /// Adds a file to the payload from memory.
    #[must_use]
    pub fn file_bytes(mut self, name: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.files.push(Input::Bytes { name: name.into(), content: content.into() });
        self
    }

    /// Sets the meta-data for the Update Module.
    #[must_use]
    pub fn meta_data(mut self, meta_data: Map<String, Value>) -> Self {
        self.meta_data = meta_data;
        self
    }

    /// Adds a state script; `name` is its base name.
    #[must_use]
    pub fn script(mut self, name: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.scripts.push(Script { name: name.into(), content: content.into() });
        self
    }

    /// Sets the compression of header and payload; gzip unless set.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Sets the compressor's level: 1 to 9 for gzip, 0 to 9 for xz, 1 to 22 for zstd. Others are
    /// brought into that range.
    #[must_use]
    pub fn compression_level(mut self, level: u32) -> Self {
        self.level = Some(level);
        self
    }

    /// Sets the time of everything in the Artifact, in seconds since 1970-01-01 UTC. Without it
    /// payload files from disk keep theirs, and everything else is at 0.
    #[must_use]
    pub fn modified_unix(mut self, seconds: u64) -> Self {
        self.modified_unix = Some(seconds);
        self
    }

    /// Sets how many threads compress, one at least; the number does not change the result.
    /// Without it, as many as the machine has processors.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Signs the Artifact.
    #[must_use]
    pub fn sign_with(mut self, key: SigningKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Calls `progress` with the number of payload bytes each time some were written.
    #[must_use]
    pub fn on_progress(mut self, progress: impl FnMut(u64) + Send + 'static) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Size of all payload files together in bytes, for progress bars.
    pub fn payload_bytes(&self) -> Result<u64, WriteError> {
        self.files.iter().map(Input::size_bytes).sum()
    }

    /// Writes the Artifact to `output`, from its present position on.
    ///
    /// Every payload file is read twice, for its checksum and for its content; nothing is kept
    /// in memory or on disk in between. A failure leaves an unfinished file behind.
    pub fn write(self, output: impl Write + Seek) -> Result<Written, WriteError> {
        self.check()?;
        container::write(self, output)
    }

    /// Writes the Artifact into memory.
    pub fn to_vec(self) -> Result<Vec<u8>, WriteError> {
        let mut output = std::io::Cursor::new(Vec::new());
        self.write(&mut output)?;
        Ok(output.into_inner())
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("payload_type", &self.payload_type)
            .finish_non_exhaustive()
    }
}
