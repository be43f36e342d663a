//! Whether anything of a process group still runs.

use std::fs;

use rustix::{
    io::Errno,
    process::{Pid, test_kill_process_group},
};

/// The dead do not count. They stay in their group until somebody has asked how they ended, and
/// where the first process of a system or a container does not care to, they stay for long.
pub(super) fn runs(group: Pid) -> bool {
    if test_kill_process_group(group) == Err(Errno::SRCH) {
        return false;
    }
    // Without a list of processes the kernel's word must do.
    fs::read_dir("/proc").map_or(true, |processes| {
        processes.flatten().any(|process| {
            fs::read(process.path().join("stat"))
                .is_ok_and(|stat| is_running_in(group, &String::from_utf8_lossy(&stat)))
        })
    })
}

/// `4711 (a name) S 1 4700 …`: number, name, state, parent, group. A name may hold anything.
fn is_running_in(group: Pid, stat: &str) -> bool {
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields).unwrap_or_default();
    let mut fields = fields.split_whitespace();
    let (state, group_field) = (fields.next(), fields.nth(1));
    !matches!(state, None | Some("Z" | "X"))
        && group_field.and_then(|field| field.parse().ok()) == Some(group.as_raw_nonzero().get())
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::CommandExt,
        process::{Command, Stdio},
        thread,
    };

    use super::*;

    #[test]
    fn a_process_is_told_from_its_remains() {
        let mut command = Command::new("sh");
        command.args(["-c", "read line"]).process_group(0).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let group = Pid::from_child(&child);
        assert!(runs(group));
        drop(child.stdin.take());
        // It ends, and is not waited for.
        while runs(group) {
            thread::yield_now();
        }
        assert_eq!(test_kill_process_group(group), Ok(()), "its remains are there");
        child.wait().unwrap();
        assert!(!runs(group));
    }

    #[test]
    fn the_list_of_processes_is_understood() {
        let group = |number| Pid::from_raw(number).unwrap();
        assert!(is_running_in(group(4700), "4711 (a name) S 1 4700 4700 0 -1 4194304"));
        assert!(is_running_in(group(4700), "4711 (Z 1 1) ) D 1 4700 4700 0 -1 4194304"));
        assert!(!is_running_in(group(4711), "4711 (a name) S 1 4700 4700 0 -1 4194304"));
        assert!(!is_running_in(group(4700), "4711 (a name) Z 1 4700 4700 0 -1 4194304"));
        assert!(!is_running_in(group(4700), ""));
    }
}
