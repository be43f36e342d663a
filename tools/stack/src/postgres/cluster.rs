//! Making a cluster, and the command that serves it.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use tokio::{io::AsyncWriteExt, process::Command};

use super::{Durability, LOGIN, Place, PostgresOptions};
use crate::{StackError, binaries::PostgresBinaries};

/// The longest path of a Unix socket: `sun_path` has 108 bytes, the last of them zero.
const LONGEST_SOCKET_PATH: usize = 107;

/// The socket's name within its directory.
const SOCKET: &str = ".s.PGSQL.5432";

/// Where the socket goes: in `dir`, or, when that path is too long for a socket, in the
/// system's directory for temporary files under a name made from it.
pub(super) fn socket_dir(dir: &Path) -> PathBuf {
    let inside = dir.join("run");
    if inside.join(SOCKET).as_os_str().len() <= LONGEST_SOCKET_PATH {
        return inside;
    }
    let mut hasher = DefaultHasher::new();
    dir.hash(&mut hasher);
    std::env::temp_dir().join(format!("rota-postgres-{:016x}", hasher.finish()))
}

/// A path as the value of a URL's parameter.
pub(super) fn percent_encode(path: &Path) -> String {
    path.as_os_str()
        .as_bytes()
        .iter()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(*byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// Makes the cluster with login and database. It appears under its name only when it is
/// whole: a start that was cut short begins anew.
pub(super) async fn create(
    binaries: &PostgresBinaries,
    options: &PostgresOptions,
    place: &Place,
) -> Result<(), StackError> {
    let unfinished = place.dir.join("data.unfinished");
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(StackError::file("remove", unfinished)(error));
        }
        _ => {}
    }
    let mut initdb = Command::new(&binaries.initdb);
    initdb.arg("-D").arg(&unfinished).args([
        // The socket's directory lets nobody in but the account itself.
        "--auth-local=trust",
        "--auth-host=reject",
        "--username=postgres",
        "--encoding=UTF8",
        "--no-locale",
    ]);
    if options.durability == Durability::Fast {
        initdb.arg("--no-sync");
    }
    run(initdb, &binaries.initdb, "", place).await?;
    // Single-user mode needs no running server, hence no other program and no password.
    let mut single = Command::new(&binaries.postgres);
    single.arg("--single").arg("-D").arg(&unfinished).arg("postgres");
    let sql = format!(
        "create role {LOGIN} login createrole createdb\n\
         create database {} owner {LOGIN}\n",
        options.database
    );
    run(single, &binaries.postgres, &sql, place).await?;
    fs::rename(&unfinished, &place.data).map_err(StackError::file("create", &place.data))
}

/// Runs a program to its end.
async fn run(
    mut command: Command,
    program: &Path,
    input: &str,
    place: &Place,
) -> Result<(), StackError> {
    let spawn = |source| StackError::Spawn { program: program.to_owned(), source };
    place.account.apply(&mut command);
    let mut child = command
        .current_dir("/")
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(spawn)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading says why by its status.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let Output { status, stdout, stderr } = child.wait_with_output().await.map_err(spawn)?;
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    // Single-user mode reports a refused statement on its way, and ends well.
    if status.success() && !said.contains("ERROR:") {
        return Ok(());
    }
    Err(StackError::Failed { program: program.to_owned(), output: said.trim().to_owned() })
}

/// The command that serves the cluster.
pub(super) fn command(
    binaries: &PostgresBinaries,
    options: &PostgresOptions,
    place: &Place,
) -> Vec<String> {
    let sockets = place.sockets.display();
    let mut settings = vec![
        "listen_addresses=".to_owned(),
        format!("unix_socket_directories=\"{sockets}\""),
        "unix_socket_permissions=0700".to_owned(),
        format!("max_connections={}", options.max_connections),
        "shared_buffers=256MB".to_owned(),
        "max_wal_size=2GB".to_owned(),
        "log_checkpoints=off".to_owned(),
        "jit=off".to_owned(),
        // Searches live on index-only scans, which want what was written lately to be vacuumed.
        "autovacuum_naptime=10s".to_owned(),
        "timezone=UTC".to_owned(),
    ];
    if options.durability == Durability::Fast {
        settings.extend(
            [
                "fsync=off",
                "full_page_writes=off",
                "synchronous_commit=off",
                "wal_level=minimal",
                "max_wal_senders=0",
            ]
            .map(str::to_owned),
        );
    }
    let mut command = vec![
        binaries.postgres.display().to_string(),
        "-D".to_owned(),
        place.data.display().to_string(),
    ];
    command.extend(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_path_is_never_too_long() {
        assert_eq!(socket_dir(Path::new("/var/lib/rota/pg")), Path::new("/var/lib/rota/pg/run"));
        let deep = PathBuf::from(format!("/{}", "d".repeat(120)));
        let dir = socket_dir(&deep);
        assert!(dir.join(SOCKET).as_os_str().len() <= LONGEST_SOCKET_PATH);
        assert_eq!(dir, socket_dir(&deep), "the same at the next start");
        assert_ne!(dir, socket_dir(&deep.join("other")));
    }

    #[test]
    fn a_path_survives_a_url() {
        assert_eq!(percent_encode(Path::new("/a b/ü")), "%2Fa%20b%2F%C3%BC");
    }
}
