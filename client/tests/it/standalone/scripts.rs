//! The state scripts of updates by hand: which run, in which order, and what their failures lead to.

use rota_artifact::Builder;

use super::{INSTALL, Step, device_with, run};
use crate::device::Device;

/// A case of the table of scripts: which fail, and what runs. `D`, `I`, `C`, `R` and `F` are the
/// states, `E`, `L` and `X` their Enter, Leave and Error scripts, of which there are two each.
struct Scripts {
    fails: &'static str,
    steps: &'static [Step],
}

const UP_TO_INSTALL: &str = "DE1 DE2 Download DL1 DL2 IE1 IE2 Install IL1 IL2";

const SCRIPTS: &[Scripts] = &[
    Scripts { fails: "", steps: &[(INSTALL, 0, "{install} CE1 CE2 Commit CL1 CL2 Cleanup")] },
    Scripts { fails: "DE1", steps: &[(INSTALL, 1, "DE1 DX1 DX2 Cleanup")] },
    Scripts { fails: "Download", steps: &[(INSTALL, 1, "DE1 DE2 Download DX1 DX2 Cleanup")] },
    Scripts { fails: "DL1 DX1", steps: &[(INSTALL, 1, "DE1 DE2 Download DL1 DX1 DX2 Cleanup")] },
    Scripts {
        fails: "IE1 IE2 IX1",
        steps: &[(
            INSTALL,
            1,
            "DE1 DE2 Download DL1 DL2 IE1 IX1 IX2 FE1 FE2 Failure FL1 FL2 Cleanup",
        )],
    },
    Scripts {
        fails: "Install",
        steps: &[(
            INSTALL,
            1,
            "DE1 DE2 Download DL1 DL2 IE1 IE2 Install IX1 IX2 FE1 FE2 Failure FL1 FL2 Cleanup",
        )],
    },
    Scripts {
        fails: "IL2",
        steps: &[(INSTALL, 1, "{install} IX1 IX2 FE1 FE2 Failure FL1 FL2 Cleanup")],
    },
    Scripts {
        fails: "CE1",
        steps: &[(INSTALL, 1, "{install} CE1 CX1 CX2 FE1 FE2 Failure FL1 FL2 Cleanup")],
    },
    Scripts {
        fails: "Commit",
        steps: &[(INSTALL, 1, "{install} CE1 CE2 Commit CX1 CX2 FE1 FE2 Failure FL1 FL2 Cleanup")],
    },
    Scripts { fails: "CL1", steps: &[(INSTALL, 1, "{install} CE1 CE2 Commit CL1 Cleanup")] },
    Scripts {
        fails: "IL2 FE1 FE2",
        steps: &[(INSTALL, 1, "{install} IX1 IX2 FE1 FE2 Failure FL1 FL2 Cleanup")],
    },
    Scripts {
        fails: "IL2 FL1 FL2",
        steps: &[(INSTALL, 1, "{install} IX1 IX2 FE1 FE2 Failure FL1 FL2 Cleanup")],
    },
    Scripts {
        fails: "rollback",
        steps: &[
            (INSTALL, 0, "{install}"),
            ("rollback", 0, "RE1 RE2 Rollback RL1 RL2 FE1 FE2 Failure FL1 FL2 Cleanup"),
        ],
    },
];

const STATES: [(&str, &str); 5] = [
    ("Download", "D"),
    ("ArtifactInstall", "I"),
    ("ArtifactCommit", "C"),
    ("ArtifactRollback", "R"),
    ("ArtifactFailure", "F"),
];

#[test]
fn scripts_run_in_their_order() {
    for case in SCRIPTS {
        let device = device_with_scripts(case.fails);
        for (command, code, calls) in case.steps {
            let (found_code, found_calls, output) = run(&device, command);
            assert_eq!(
                found_calls,
                calls.replace("{install}", UP_TO_INSTALL),
                "with {}: {output}",
                case.fails
            );
            assert_eq!(found_code, Some(*code), "with {}: {output}", case.fails);
        }
    }
}

fn device_with_scripts(fails: &str) -> Device {
    let mut artifact = Builder::module_image("test", "new").device_type("board");
    let device = device_with(if fails == "rollback" { "" } else { "no-rollback" });
    let root = device.path("").display().to_string();
    std::fs::create_dir_all(device.path("config/scripts")).unwrap();
    for fail in fails.split(' ') {
        let call = match fail {
            "Install" | "Commit" => format!("Artifact{fail}"),
            _ => fail.to_owned(),
        };
        device.write(&format!("fail-{call}"), "");
    }
    for (state, letter) in STATES {
        for (point, mark) in [("Enter", "E"), ("Leave", "L"), ("Error", "X")] {
            for number in 1..=2 {
                let (file, short) =
                    (format!("{state}_{point}_0{number}"), format!("{letter}{mark}{number}"));
                let body = format!("cd {root}\necho {short} >> calls\n[ ! -e fail-{short} ]");
                if state == "Download" {
                    device.add_script(&format!("config/scripts/{file}"), &body);
                } else {
                    artifact = artifact.script(file, format!("#!/bin/sh\n{body}\n"));
                }
            }
        }
    }
    let artifact = artifact.file_bytes("content", "content").to_vec().unwrap();
    std::fs::write(device.path("new.mender"), artifact).unwrap();
    device
}
