//! Updates by hand, situation by situation: which calls and scripts run, how each command exits,
//! and what is installed in the end.

mod scripts;

use rota_artifact::Builder;

use crate::{
    device::{Device, artifact},
    fake_server::{FakeServer, Response},
};

const INSTALL: &str = "install new.mender";

/// What the device is said to run in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs {
    Old,
    New,
    Inconsistent,
}

/// A command, its exit code, and the module's calls.
type Step = (&'static str, i32, &'static str);

struct Situation {
    name: &'static str,
    /// Files that change how the module behaves.
    module: &'static str,
    steps: &'static [Step],
    runs: Runs,
}

const fn situation(
    name: &'static str,
    module: &'static str,
    steps: &'static [Step],
    runs: Runs,
) -> Situation {
    Situation { name, module, steps, runs }
}

const SITUATIONS: &[Situation] = &[
    situation(
        "plain module",
        "no-rollback",
        &[(INSTALL, 0, "Download Install Commit Cleanup")],
        Runs::New,
    ),
    situation(
        "file sizes",
        "no-rollback wants-sizes",
        &[(INSTALL, 0, "DownloadWithFileSizes Install Commit Cleanup")],
        Runs::New,
    ),
    situation(
        "rollback-capable, kept",
        "",
        &[(INSTALL, 0, "Download Install"), ("commit", 0, "Commit Cleanup")],
        Runs::New,
    ),
    situation(
        "rollback-capable, taken back",
        "",
        &[(INSTALL, 0, "Download Install"), ("rollback", 0, "Rollback Failure Cleanup")],
        Runs::Old,
    ),
    situation(
        "install fails, rollback works",
        "fail-ArtifactInstall",
        &[(INSTALL, 1, "Download Install Rollback Failure Cleanup")],
        Runs::Old,
    ),
    situation("download fails", "fail-Download", &[(INSTALL, 1, "Download Cleanup")], Runs::Old),
    situation(
        "install and rollback fail",
        "fail-ArtifactInstall fail-ArtifactRollback",
        &[(INSTALL, 1, "Download Install Rollback Failure Cleanup")],
        Runs::Inconsistent,
    ),
    situation(
        "install fails, no rollback",
        "fail-ArtifactInstall no-rollback",
        &[(INSTALL, 1, "Download Install Failure Cleanup")],
        Runs::Inconsistent,
    ),
    situation(
        "nothing to decide",
        "",
        &[("commit", 2, ""), ("rollback", 2, ""), ("resume", 2, "")],
        Runs::Old,
    ),
    situation(
        "wants a reboot",
        "no-rollback wants-reboot",
        &[
            (INSTALL, 0, "Download Install Commit Cleanup"),
            ("install --reboot-exit-code new.mender", 4, "Download Install Commit Cleanup"),
        ],
        Runs::New,
    ),
    situation(
        "wants a reboot and a decision",
        "wants-reboot",
        &[
            ("install --reboot-exit-code new.mender", 4, "Download Install"),
            ("commit --reboot-exit-code", 0, "Commit Cleanup"),
        ],
        Runs::New,
    ),
    situation(
        "install while one is in progress",
        "",
        &[
            (INSTALL, 0, "Download Install"),
            (INSTALL, 1, ""),
            ("rollback", 0, "Rollback Failure Cleanup"),
        ],
        Runs::Old,
    ),
    situation(
        "rollback fails",
        "fail-ArtifactRollback",
        &[
            (INSTALL, 0, "Download Install"),
            ("rollback", 1, "Rollback Failure Cleanup"),
            ("rollback", 2, ""),
        ],
        Runs::Inconsistent,
    ),
    situation(
        "cleanup fails",
        "no-rollback fail-Cleanup",
        &[(INSTALL, 1, "Download Install Commit Cleanup")],
        Runs::Inconsistent,
    ),
    situation(
        "the module's failure handler fails",
        "fail-ArtifactInstall fail-ArtifactFailure",
        &[(INSTALL, 1, "Download Install Rollback Failure Cleanup")],
        Runs::Inconsistent,
    ),
    situation(
        "step by step to the commit",
        "",
        &[
            ("install --stop-before ArtifactInstall_Enter new.mender", 0, "Download"),
            ("resume --stop-before ArtifactInstall_Enter", 0, ""),
            ("resume", 0, "Install"),
            ("resume", 0, "Commit Cleanup"),
        ],
        Runs::New,
    ),
    situation(
        "stop behind the commit",
        "no-rollback",
        &[
            ("install --stop-before ArtifactCommit_Leave new.mender", 0, "Download Install Commit"),
            ("resume --stop-before ArtifactCommit_Leave", 0, ""),
            ("resume", 0, "Cleanup"),
        ],
        Runs::New,
    ),
    situation(
        "rollback after the commit",
        "",
        &[
            ("install --stop-before ArtifactCommit_Enter new.mender", 0, "Download Install"),
            ("commit --stop-before ArtifactCommit_Leave", 0, "Commit"),
            ("rollback", 0, "Rollback Failure Cleanup"),
        ],
        Runs::Old,
    ),
    situation(
        "step by step back",
        "fail-ArtifactInstall",
        &[
            ("install --stop-before ArtifactRollback_Enter new.mender", 1, "Download Install"),
            ("rollback --stop-before ArtifactFailure_Enter", 0, "Rollback"),
            ("resume --stop-before ArtifactFailure_Enter", 0, ""),
            ("resume --stop-before Cleanup", 0, "Failure"),
            ("commit", 1, ""),
            ("resume", 0, "Cleanup"),
            ("resume", 2, ""),
        ],
        Runs::Old,
    ),
    situation(
        "no rollback once only the cleanup is left",
        "no-rollback",
        &[
            ("install --stop-before Cleanup new.mender", 0, "Download Install Commit"),
            ("rollback", 1, ""),
            ("commit", 0, "Cleanup"),
        ],
        Runs::New,
    ),
    situation(
        "several stops",
        "",
        &[
            (
                "install --stop-before Cleanup --stop-before ArtifactInstall_Enter new.mender",
                0,
                "Download",
            ),
            ("commit", 1, ""),
            ("rollback --stop-before Cleanup", 0, ""),
            ("rollback", 0, "Cleanup"),
        ],
        Runs::Old,
    ),
];

/// As Mender's client says it, which scripts compare.
#[test]
fn every_command_behind_a_rollback_says_that_the_old_software_is_back() {
    let device = device_with("fail-ArtifactInstall");
    let artifact = device.path("new.mender").display().to_string();
    let steps = [
        (
            "install --stop-before ArtifactRollback_Enter new.mender",
            "Installing artifact...\nInstallation failed.\n",
        ),
        ("resume --stop-before ArtifactRollback_Enter", ""),
        ("rollback --stop-before ArtifactFailure_Enter", "Rolled back.\n"),
        ("resume --stop-before ArtifactFailure_Enter", "Rolled back.\n"),
        ("resume --stop-before Cleanup", "Rolled back.\n"),
        ("resume --stop-before Cleanup", "Rolled back.\n"),
        ("resume", "Rolled back.\n"),
        ("resume", "No update in progress.\n"),
    ];
    for (number, (command, said)) in steps.into_iter().enumerate() {
        let words = command.replace("new.mender", &artifact);
        let ended = device.run(&words.split(' ').collect::<Vec<_>>());
        assert_eq!(ended.stdout(), said, "step {number}: {command}: {}", ended.stderr());
    }
}

/// The calls that do something, without the questions, and without the word that most begin with.
fn calls_since(device: &Device, before: usize) -> String {
    let calls = device.calls().into_iter().skip(before);
    let answers = ["ProvidePayloadFileSizes", "SupportsRollback", "NeedsArtifactReboot"];
    let doing = calls.filter(|call| !answers.contains(&call.as_str()));
    let short = doing.map(|call| call.strip_prefix("Artifact").unwrap_or(&call).to_owned());
    short.collect::<Vec<_>>().join(" ")
}

fn run(device: &Device, command: &str) -> (Option<i32>, String, String) {
    let artifact = device.path("new.mender").display().to_string();
    let words = command.replace("new.mender", &artifact);
    let words: Vec<_> = words.split(' ').collect();
    let before = device.calls().len();
    let ended = device.run(&words);
    (ended.code(), calls_since(device, before), ended.stdout() + &ended.stderr())
}

fn device_with(files: &str) -> Device {
    let device = Device::new();
    for file in files.split(' ').filter(|file| !file.is_empty()) {
        device.write(file, "");
    }
    device.write("installed", "old");
    device.add_artifact("new", "content");
    device
}

fn name(runs: Runs) -> &'static str {
    match runs {
        Runs::Old => "unknown\n",
        Runs::New => "new\n",
        Runs::Inconsistent => "new_INCONSISTENT\n",
    }
}

fn check(situation: &Situation) {
    let Situation { name: title, module, steps, runs } = *situation;
    let device = device_with(module);
    for (command, code, calls) in steps {
        let (found_code, found_calls, output) = run(&device, command);
        assert_eq!(found_code, Some(*code), "{title}: {command}: {output}");
        assert_eq!(found_calls, *calls, "{title}: {command}: {output}");
    }
    assert_eq!(device.run(&["show-artifact"]).stdout(), name(runs), "{title}");
    // An operator sees the provides of what half took hold, too.
    let provides = device.run(&["show-provides"]).stdout();
    let has_new = provides.contains("rootfs-image.test.version=new\n");
    assert_eq!(has_new, runs != Runs::Old, "{title}: {provides}");
    let tree = device.path("data/modules/v3/payloads/0000/tree");
    assert!(!tree.exists(), "{title}: the work tree is left behind");
}

#[test]
fn every_situation_ends_as_it_does_with_menders_client() {
    for situation in SITUATIONS {
        check(situation);
    }
}

#[test]
fn a_rollback_that_the_module_refuses_keeps_the_update() {
    let device = device_with("");
    assert_eq!(run(&device, INSTALL).0, Some(0));
    device.write("no-rollback", "");
    let (code, calls, output) = run(&device, "rollback");
    assert_eq!((code, calls.as_str()), (Some(1), ""), "{output}");
    assert!(output.starts_with("Update Module does not support rollback."), "{output}");
    assert_eq!(run(&device, "commit").0, Some(0));
    assert_eq!(device.run(&["show-artifact"]).stdout(), "new\n");
}

#[test]
fn unmet_depends_are_refused_before_anything_runs() {
    let device = device_with("no-rollback");
    for point in ["Enter", "Leave", "Error"] {
        let root = device.path("calls").display().to_string();
        let script = format!("config/scripts/Download_{point}_00");
        std::fs::create_dir_all(device.path("config/scripts")).unwrap();
        device.add_script(&script, &format!("echo script >> {root}"));
    }
    let bytes = Builder::module_image("test", "new")
        .device_type("board")
        .depends_on_artifact("unknown")
        .file_bytes("content", "content")
        .to_vec()
        .unwrap();
    std::fs::write(device.path("new.mender"), bytes).unwrap();
    assert_eq!(run(&device, INSTALL).0, Some(0));
    let before = device.calls().len();
    let path = device.path("new.mender");
    let again = device.run(&["install", path.to_str().unwrap()]);
    assert_eq!(again.code(), Some(1));
    assert_eq!(again.stdout(), "Installing artifact...\nStreaming failed.\nSystem not modified.\n");
    assert_eq!(device.calls().len(), before);
    assert_eq!(device.run(&["resume"]).code(), Some(2));
}

#[test]
fn a_failed_installation_is_repaired_by_the_next() {
    let device = device_with("fail-ArtifactInstall no-rollback");
    assert_eq!(run(&device, INSTALL).0, Some(1));
    assert_eq!(device.run(&["show-artifact"]).stdout(), "new_INCONSISTENT\n");
    std::fs::remove_file(device.path("fail-ArtifactInstall")).unwrap();
    assert_eq!(run(&device, INSTALL).0, Some(0));
    assert_eq!(device.run(&["show-artifact"]).stdout(), "new\n");
}

#[test]
fn an_artifact_comes_from_a_server_as_well() {
    let server = FakeServer::start(|_| Response::new(200, artifact("new", "content")));
    let device = device_with("no-rollback");
    let installed = device.run(&["install", &format!("{}/new.mender", server.url())]);
    assert_eq!(installed.code(), Some(0), "{}", installed.stderr());
    assert_eq!(device.read("installed").as_deref(), Some("content"));
    assert_eq!(server.requests()[0].header("authorization"), None);
}

/// Ends commands while their module is at work: what the module does ends with the next command,
/// which finds its way on.
#[test]
fn a_killed_command_is_resumed_or_rolled_back() {
    let back = "Rollback Failure Cleanup";
    for (at, command, resumed, rolled_back) in [
        ("Download", INSTALL, (1, "Cleanup"), (0, "Cleanup")),
        ("ArtifactInstall", INSTALL, (1, back), (0, back)),
        ("ArtifactCommit", "commit", (1, back), (0, back)),
        ("ArtifactRollback", "rollback", (0, back), (0, back)),
        ("ArtifactFailure", "rollback", (0, "Failure Cleanup"), (0, "Failure Cleanup")),
        ("Cleanup", "rollback", (0, "Cleanup"), (0, "Cleanup")),
    ] {
        for (next, (code, calls)) in [("resume", resumed), ("rollback", rolled_back)] {
            let device = device_with(&format!("hang-{at}"));
            if command != INSTALL {
                assert_eq!(run(&device, INSTALL).0, Some(0));
            }
            let words = command.replace("new.mender", device.path("new.mender").to_str().unwrap());
            device.run_until_it_hangs(&words.split(' ').collect::<Vec<_>>());
            std::fs::remove_file(device.path(&format!("hang-{at}"))).unwrap();
            let (found_code, found_calls, output) = run(&device, next);
            let case = format!("{command} killed in {at}, then {next}: {output}");
            assert_eq!((found_code, found_calls.as_str()), (Some(code), calls), "{case}");
            let module = device.read("hanging").unwrap();
            // One that has ended but that nobody has asked about has no command line.
            let process = std::fs::read(format!("/proc/{}/cmdline", module.trim()));
            assert!(process.unwrap_or_default().is_empty(), "{case}: the module runs on");
            assert_eq!(device.run(&["show-artifact"]).stdout(), "unknown\n", "{case}");
            assert_eq!(device.read("installed").as_deref(), Some("old"), "{case}");
        }
    }
}

#[test]
fn what_a_killed_command_has_installed_runs_on_when_it_is_resumed() {
    let device = device_with("hang-Cleanup no-rollback");
    let path = device.path("new.mender");
    std::fs::write(&path, device.artifact_with_service("new", "content")).unwrap();
    device.run_until_it_hangs(&["install", path.to_str().unwrap()]);
    std::fs::remove_file(device.path("hang-Cleanup")).unwrap();
    assert_eq!(run(&device, "resume").0, Some(0));
    assert!(device.end_service());
}

#[test]
fn an_interrupted_download_does_not_stand_in_the_way_of_the_next() {
    let device = device_with("hang-Download no-rollback");
    device.run_until_it_hangs(&["install", device.path("new.mender").to_str().unwrap()]);
    std::fs::remove_file(device.path("hang-Download")).unwrap();
    let (code, calls, output) = run(&device, INSTALL);
    assert_eq!(
        (code, calls.as_str()),
        (Some(0), "Cleanup Download Install Commit Cleanup"),
        "{output}"
    );
}
