//! File systems that an Update Module has mounted and left behind.

use std::{
    fs,
    process::{Command, ExitStatus},
};

use crate::device::{Device, Finished};

/// Runs its arguments where what is mounted is seen by nobody else.
fn in_a_namespace() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount"]);
    command
}

/// Some systems let nobody but root have such a namespace, and some containers nobody at all.
fn must_be_possible() {
    let outcome = in_a_namespace().args(["mount", "--bind", "/tmp", "/tmp"]).status();
    assert!(
        outcome.as_ref().is_ok_and(ExitStatus::success),
        "nothing can be mounted here ({outcome:?}): allow user namespaces, or leave these tests \
         out: cargo test -p rota-client -- --skip read_only:: --skip mounts::"
    );
}

#[test]
fn what_is_mounted_in_the_work_tree_is_not_removed_with_it() {
    must_be_possible();
    let device = Device::new();
    let kept = device.path("kept");
    fs::create_dir(&kept).unwrap();
    device.write("kept/file", "of somebody else");
    device.add_script(
        "share/modules/v3/test",
        &format!(
            r#"[ "$1" = ArtifactInstall ] || exit 0
            mkdir "$2/tmp/mounted" && mount --bind {} "$2/tmp/mounted""#,
            kept.display()
        ),
    );
    let artifact = device.add_artifact("new", "content");
    let install = ["install", artifact.to_str().unwrap()];
    let rota_client = device.command();
    let mut wrapped = in_a_namespace();
    wrapped.arg(rota_client.get_program()).args(rota_client.get_args()).args(install);
    let ended = Finished::of(&mut wrapped);
    assert_eq!(device.read("kept/file").as_deref(), Some("of somebody else"));
    assert!(ended.stderr().contains("is mounted on"), "{}", ended.stderr());

    // Nothing is mounted there any more.
    device.add_script("share/modules/v3/test", "exit 0");
    let ended = device.run(&install);
    assert_eq!(ended.code(), Some(0), "{}", ended.stderr());
    assert!(!device.path("data/modules/v3/payloads/0000/tree").exists());
}
