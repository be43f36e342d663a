//! U-Boot's environment with Debian's tools, and with others that understand less.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use tempfile::TempDir;

use super::*;
use crate::{
    log::{Level, Log},
    process::Mark,
    wake::Wake,
};

/// What programs are started with, for as long as a test lasts.
pub(super) struct Shell {
    mark: Mark,
    wake: Wake,
    log: Log,
}

impl Shell {
    pub(super) fn new(folder: &Path) -> Self {
        let log = Log::new(Level::Error, Box::new(std::io::sink()));
        Self { mark: Mark::new(folder), wake: Wake::default(), log }
    }

    pub(super) fn programs(&self) -> Programs<'_> {
        let Self { mark, wake, log } = self;
        Programs { mark, limit: Duration::from_mins(1), wake, log }
    }
}

/// Debian's tools, on an environment in this file: two copies of 8 KiB.
pub(super) fn tools(folder: &Path) -> UBootTools {
    let env = folder.join("env");
    let config = folder.join("fw_env.config");
    let copy = |offset| format!("{} {offset:#x} 0x2000\n", env.display());
    fs::write(&config, format!("{}{}", copy(0), copy(0x2000))).unwrap();
    if !env.exists() {
        fs::write(&env, vec![0; 0x4000]).unwrap();
    }
    let default = folder.join("default");
    fs::write(&default, "bootlimit=1\n").unwrap();
    let found = UBootTools::find(&Host::default());
    let found = found.expect("fw_printenv (package libubootenv-tool) is there; see make setup");
    let arguments = ["-c".into(), config.into(), "-f".into(), default.into()];
    UBootTools { arguments: arguments.to_vec(), ..found }
}

fn changes(part: &str) -> [(&'static str, String); 3] {
    [
        ("mender_boot_part", part.to_owned()),
        ("upgrade_available", "1".to_owned()),
        ("bootcount", "0".to_owned()),
    ]
}

#[test]
fn debians_tools_take_changes_and_other_variables_stay() {
    let folder = tempfile::tempdir().unwrap();
    let shell = Shell::new(folder.path());
    let mut env = UBootEnvironment::new(tools(folder.path()), shell.programs());
    for part in ["2", "3"] {
        env.write(&changes(part)).unwrap();
        let values = env.read().unwrap();
        let get = |name: &str| values.get(name).map(String::as_str);
        assert_eq!(get("mender_boot_part"), Some(part));
        assert_eq!(get("bootlimit"), Some("1"));
    }
}

/// Tools that keep `name=value` lines in a file and understand one kind of script.
fn other_tools(folder: &TempDir, set: &str) -> UBootTools {
    let path = |name: &str| folder.path().join(name);
    fs::write(path("env"), "mender_boot_part=2\nbootcmd=a=b\n").unwrap();
    for (name, body) in [("fw_printenv", "cat env"), ("fw_setenv", set)] {
        let script = format!("#!/bin/sh\ncd {}\n{body}\n", folder.path().display());
        fs::write(path(name), script).unwrap();
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    UBootTools { print: path("fw_printenv"), set: path("fw_setenv"), arguments: Vec::new() }
}

/// As U-Boot's own did until 2018: everything up to a blank is the name, and a name without a
/// value deletes what has that name up to its equals sign.
const OLD: &str = r#"[ "$1 $2" = "-s -" ] || exit 1
while read -r name value; do
    sed -i "/^${name%%=*}=/d" env
    if [ -n "$value" ]; then echo "$name=$value" >> env; fi
done
grep -q "^mender_boot_part=" env || touch lost"#;

#[test]
fn old_tools_that_split_at_blanks_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let shell = Shell::new(folder.path());
    let mut env = UBootEnvironment::new(other_tools(&folder, OLD), shell.programs());
    env.write(&changes("3")).unwrap();
    let values = env.read().unwrap();
    assert_eq!(values["mender_boot_part"], "3");
    assert_eq!(values["bootcmd"], "a=b");
    // The power might have failed between two calls.
    assert!(!folder.path().join("lost").exists());
}

#[test]
fn tools_that_do_not_work_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let shell = Shell::new(folder.path());
    let mut deaf = UBootEnvironment::new(other_tools(&folder, "cat > /dev/null"), shell.programs());
    assert!(matches!(deaf.write(&changes("3")), Err(BootError::NotTaken { .. })));
    let mut broken = UBootEnvironment::new(other_tools(&folder, "exit 3"), shell.programs());
    let error = crate::log::chain(&broken.write(&changes("3")).unwrap_err());
    assert!(error.contains("fw_setenv failed with exit code 3"), "{error}");
    assert_eq!(broken.read().unwrap()["mender_boot_part"], "2");
}

#[test]
fn the_tools_are_looked_for_where_daemons_have_them() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::within(folder.path());
    assert!(UBootTools::find(&host).is_none());
    fs::create_dir_all(host.path("/usr/sbin")).unwrap();
    for name in ["fw_printenv", "fw_setenv"] {
        fs::write(host.path("/usr/sbin").join(name), "").unwrap();
    }
    assert_eq!(UBootTools::find(&host).unwrap().set, host.path("/usr/sbin/fw_setenv"));
}
