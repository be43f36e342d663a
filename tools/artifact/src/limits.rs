//! What a reader is willing to hold or to wait for.

/// Bounds on everything an Artifact chooses for itself; exceeding one is an error that names it.
///
/// The defaults suit a server that takes uploads from strangers and a device with 64 MiB to spare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Size of the whole file. Default 10 GiB, the largest image a Mender server stores.
    pub artifact_bytes: u64,
    /// Size of `manifest`, which is held in memory. Default 1 MiB, some 7,000 files.
    pub manifest_bytes: u64,
    /// Size of the header archive, compressed and again unpacked, both held in memory; state
    /// scripts and meta-data count. Default 8 MiB.
    pub header_bytes: u64,
    /// Number of state scripts. Default 256.
    pub scripts: usize,
    /// Number of files in the payload. Default 4,096.
    pub files: usize,
    /// Size of the payload's archive when unpacked. Default 64 GiB.
    pub payload_bytes: u64,
    /// Unpacked bytes that every archive may have, whatever its compressed size, before
    /// [`ratio`](Self::ratio) counts. Default 1 GiB: an image of zeros is not an attack.
    pub ratio_free_bytes: u64,
    /// Unpacked bytes per compressed byte beyond that. Default 1,100, a little more than gzip can
    /// reach at all (1,032).
    pub ratio: u64,
    /// Memory that an xz or zstd stream may ask its decoder for. Default 128 MiB: mender-artifact
    /// writes xz that needs 65 MiB, and zstd's own default limit is 128 MiB.
    pub decoder_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        const GIB: u64 = 1 << 30;
        Self {
            artifact_bytes: 10 * GIB,
            manifest_bytes: MIB,
            header_bytes: 8 * MIB,
            scripts: 256,
            files: 4096,
            payload_bytes: 64 * GIB,
            ratio_free_bytes: GIB,
            ratio: 1100,
            decoder_bytes: 128 * MIB,
        }
    }
}
