//! Power loss at every instant: the real runner, machine and journal on a device that is imagined
//! down to what its disks forget.
//!
//! In a *world* ([`outside`]) stands all that outlives the client's process: the journal's files,
//! the work tree, two system partitions and the bootloader's environment, or an application that is
//! replaced in place, what the server was told, and what was called how often. Everything that the
//! client does to it passes a *point* ([`run`]): before each operation on a file, and before,
//! between and after the parts of everything else. At each point two things can happen: the client
//! is killed, or the power goes; then every disk keeps any part of what was not synced, and the
//! bootloader chooses what runs.
//!
//! [`explore`] walks through *all* worlds that can be reached like that from one update, with one cut
//! or two, and lets the update end from each of them. Among those updates each step of modules and
//! scripts ([`steps`]) must have succeeded, and have failed. [`random`] draws long rows of cuts, and in
//! [`read_only`] the journal can no longer be written from any point on.
//! [`outside::Outside::check`] says what must hold in the end, whatever happened:
//!
//! - What runs is the new software, committed, or the old one; the records name it.
//! - The server was told success if and only if the new software is committed, and never both.
//! - Nothing was installed, verified or committed twice.
//! - Where the module cannot roll back, or fails to, the records may call the software inconsistent.
//! - Another update can be installed.
//!
//! Which calls may repeat: after a cut, the state scripts of the step that was cut; the module's
//! questions, `ArtifactRollback`, `ArtifactRollbackReboot`, `ArtifactVerifyRollbackReboot`,
//! `ArtifactFailure` and `Cleanup`. `Download`, `ArtifactInstall`, `ArtifactReboot`,
//! `ArtifactVerifyReboot` and `ArtifactCommit` run once at most in a deployment.

mod explore;
mod outside;
mod payload;
mod random;
mod read_only;
mod run;
mod scenario;
mod steps;
mod world;
