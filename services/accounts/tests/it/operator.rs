//! The operator's commands, as the built program carries them out.

use std::process::Output;

use rota_types::ErrorCode;
use secrecy::ExposeSecret;
use tokio::process::Command;

use crate::world::World;

async fn run(world: &World, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rota-accounts"))
        .args(arguments)
        .env("ROTA_DATABASE_URL", world.database.url().expose_secret())
        .output()
        .await
        .unwrap()
}

/// The lines that a command printed, as their first word and the rest.
async fn told(world: &World, arguments: &[&str]) -> Vec<(String, String)> {
    let output = run(world, arguments).await;
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| {
        let (word, rest) = line.split_once(' ').unwrap();
        (word.to_owned(), rest.to_owned())
    };
    text.lines().map(line).collect()
}

fn value<'a>(told: &'a [(String, String)], word: &str) -> Option<&'a str> {
    told.iter().find(|(first, _)| first == word).map(|(_, rest)| rest.as_str())
}

#[tokio::test]
async fn an_operator_sets_up_tenants_and_people() {
    let world = World::new().await;
    let replica = world.replica().await;
    let first = told(&world, &["bootstrap", "--email", "admin@example.com"]).await;
    let password = value(&first, "password").unwrap();
    replica.login("admin@example.com", password).await.unwrap();
    let again = told(&world, &["bootstrap", "--email", "admin@example.com"]).await;
    assert_eq!(value(&again, "password"), None);
    assert_eq!(value(&again, "tenant"), value(&first, "tenant"));

    let made = told(&world, &["create-tenant", "Acme & Co"]).await;
    let id = value(&made, "tenant").unwrap().split(' ').next().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "battery staple\n").unwrap();
    let path = file.path().to_str().unwrap();
    let create =
        ["create-user", "--tenant", id, "--email", "ann@acme.example", "--password-file", path];
    assert_eq!(value(&told(&world, &create).await, "password"), None);
    replica.login("ann@acme.example", "battery staple").await.unwrap();

    let listed = told(&world, &["list-tenants"]).await;
    assert_eq!(listed.iter().filter(|(word, _)| word == "tenant").count(), 2);
    assert!(listed.contains(&("tenant".to_owned(), format!("{id} active Acme & Co"))));

    told(&world, &["suspend-tenant", id]).await;
    let refused = replica.login("ann@acme.example", "battery staple").await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Unauthenticated);
    told(&world, &["resume-tenant", id]).await;
    replica.login("ann@acme.example", "battery staple").await.unwrap();
}

#[tokio::test]
async fn a_command_that_cannot_be_carried_out_says_why_in_one_line() {
    let world = World::new().await;
    let unknown = uuid::Uuid::new_v4().to_string();
    let output = run(&world, &["suspend-tenant", &unknown]).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "rota-accounts: tenant not found\n");
    assert!(output.stdout.is_empty());
}

#[tokio::test]
async fn the_first_person_has_no_roles_to_choose() {
    let world = World::new().await;
    let bootstrap = ["bootstrap", "--email", "admin@example.com", "--role", "RBAC_ROLE_OBSERVER"];
    let output = run(&world, &bootstrap).await;
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("unexpected argument '--role'"), "{text}");
    let listed = told(&world, &["list-tenants"]).await;
    assert!(listed.is_empty(), "{listed:?}");
}

#[tokio::test]
async fn the_help_of_the_service_names_the_commands() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_rota-accounts"));
    let output = program.arg("--help").output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for named in ["--user-token-seconds", "\n  bootstrap ", "\n  resume-tenant "] {
        assert!(text.contains(named), "{named:?} is not in {text}");
    }
}
