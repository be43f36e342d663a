//! Finding the servers' programs on this machine.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::StackError;

/// Where Debian keeps its versions of Postgres.
const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";

/// The programs of one version of Postgres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PostgresBinaries {
    pub(crate) postgres: PathBuf,
    pub(crate) initdb: PathBuf,
}

impl PostgresBinaries {
    /// Those that made the data in `data`, or the newest when there is no data yet.
    pub(crate) fn find(data: &Path) -> Result<Self, StackError> {
        let found = candidates(Path::new(DEBIAN_POSTGRES), env::var_os("PATH").as_deref());
        match fs::read_to_string(data.join("PG_VERSION")) {
            Ok(version) => {
                let version = version.trim();
                found
                    .into_iter()
                    .find(|(found, _)| found.as_deref() == Some(version))
                    .map(|(_, binaries)| binaries)
                    .ok_or_else(|| StackError::MissingVersion {
                        dir: data.to_owned(),
                        version: version.to_owned(),
                    })
            }
            Err(_) => found
                .into_iter()
                .map(|(_, binaries)| binaries)
                .next()
                .ok_or(StackError::Missing { program: "Postgres", package: "postgresql" }),
        }
    }
}

/// What is installed, with the major version where that is known: Debian's directories,
/// newest first, then the path's.
fn candidates(
    debian: &Path,
    path: Option<&std::ffi::OsStr>,
) -> Vec<(Option<String>, PostgresBinaries)> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(debian)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    let debian = versions
        .into_iter()
        .filter_map(|(version, dir)| Some((Some(version.to_string()), in_dir(&dir.join("bin"))?)));
    let path = path.map(env::split_paths).into_iter().flatten().filter_map(|dir| {
        // A link on the path leads to the directory that has everything else.
        let real = fs::canonicalize(dir.join("postgres")).ok()?;
        let binaries = in_dir(real.parent()?)?;
        Some((version_of(&binaries.postgres), binaries))
    });
    debian.chain(path).collect()
}

fn in_dir(dir: &Path) -> Option<PostgresBinaries> {
    let (postgres, initdb) = (dir.join("postgres"), dir.join("initdb"));
    (postgres.is_file() && initdb.is_file()).then_some(PostgresBinaries { postgres, initdb })
}

/// The major version that `postgres --version` names.
fn version_of(postgres: &Path) -> Option<String> {
    let output = std::process::Command::new(postgres).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version =
        text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(version.split(|c: char| !c.is_ascii_digit()).next()?.to_owned())
}

/// The nats-server on the path, or where Debian puts it, which is not on everyone's path.
pub(crate) fn nats_server() -> Result<PathBuf, StackError> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/bin")])
        .map(|dir| dir.join("nats-server"))
        .find(|program| program.is_file())
        .ok_or(StackError::Missing { program: "nats-server", package: "nats-server" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(root: &Path, version: &str) -> PathBuf {
        let bin = root.join(version).join("bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join("postgres"), "").unwrap();
        fs::write(bin.join("initdb"), "").unwrap();
        bin
    }

    #[test]
    fn the_newest_version_comes_first_by_number() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9", "15", "17"] {
            install(root.path(), version);
        }
        fs::create_dir_all(root.path().join("18/bin")).unwrap();
        let found: Vec<_> =
            candidates(root.path(), None).into_iter().filter_map(|(version, _)| version).collect();
        assert_eq!(found, ["17", "15", "9"]);
    }

    #[test]
    fn a_link_on_the_path_leads_to_the_programs() {
        let root = tempfile::tempdir().unwrap();
        let bin = install(root.path(), "15");
        let links = root.path().join("links");
        fs::create_dir(&links).unwrap();
        std::os::unix::fs::symlink(bin.join("postgres"), links.join("postgres")).unwrap();
        let found = candidates(Path::new("/nowhere"), Some(links.as_os_str()));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].1.initdb, fs::canonicalize(bin.join("initdb")).unwrap());
    }
}
