//! Stores as Mender's clients leave them, and what becomes of them.
//!
//! The files are written by LMDB itself, through Debian's `mdb_load`. The Go client's records were
//! taken from stores that Debian's mender-client 3.4.0 wrote, at the stages that they name, with
//! other names; the C++ client's have the keys and words that its versions 4.0 to 5.1 read and
//! write. The real Go client is tried in `e2e/interop`.

mod lmdb;
mod records;

use std::{
    fmt::Write as _,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

/// Adds pairs to an LMDB file, in one commit.
fn load(path: &Path, pairs: &[(&[u8], &[u8])]) {
    let mut dump = "VERSION=3\nformat=bytevalue\ntype=btree\nHEADER=END\n".to_owned();
    for (key, value) in pairs {
        for bytes in [key, value] {
            dump.push(' ');
            for byte in *bytes {
                let _ = write!(dump, "{byte:02x}");
            }
            dump.push('\n');
        }
    }
    dump.push_str("DATA=END\n");
    let mut child = Command::new("mdb_load")
        .arg("-n")
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("mdb_load is installed (Debian: lmdb-utils)");
    child.stdin.take().unwrap().write_all(dump.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "mdb_load");
}
