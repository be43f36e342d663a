//! Releases: lists, words, and their end.

use rota_proto::deployments::v1::ListReleasesRequest;
use rota_types::ErrorCode;

use crate::{
    people::{for_devices, refused},
    world::{World, artifact, eventually},
};

#[tokio::test]
async fn artifacts_of_one_name_are_one_release() {
    let world = World::new().await;
    let operator = world.operator();
    operator.upload(&artifact("app", "arm", 10)).await.unwrap();
    operator.upload(&artifact("app", "mips", 10)).await.unwrap();
    let release = operator.release("app").await.unwrap();
    assert_eq!((release.artifacts_count, release.artifacts.len()), (2, 2));
    assert_eq!(refused(operator.release("other").await).0, ErrorCode::NotFound);
    let mips = release.artifacts.iter().find(|each| each.device_types == ["mips"]).unwrap();
    operator.delete(&mips.id).await.unwrap();
    assert_eq!(operator.release("app").await.unwrap().artifacts_count, 1);
}

#[tokio::test]
async fn lists_filter_and_sort() {
    let world = World::new().await;
    let operator = world.operator();
    for (name, device_type) in
        [("alpha", "arm"), ("beta", "arm"), ("beta", "mips"), ("Gamma", "x86")]
    {
        operator.upload(&artifact(name, device_type, 10)).await.unwrap();
        world.clock.advance(chrono::TimeDelta::seconds(1));
    }
    operator.set_tags("alpha", &["stable", "eu"]).await.unwrap();
    operator.set_tags("beta", &["Eu"]).await.unwrap();
    let list = async |request| {
        let answer = operator.releases(request).await.unwrap();
        let names: Vec<_> = answer.releases.into_iter().map(|each| each.name).collect();
        (names.join(" "), answer.total)
    };
    let all = ListReleasesRequest::default;
    assert_eq!(list(all()).await, ("Gamma alpha beta".into(), 3));
    assert_eq!(list(ListReleasesRequest { name: "AM".into(), ..all() }).await.0, "Gamma");
    let tagged = ListReleasesRequest { tags: vec!["eu".into(), "x".into()], ..all() };
    assert_eq!(list(tagged).await.0, "alpha beta");
    assert_eq!(list(ListReleasesRequest { device_type: "mips".into(), ..all() }).await.0, "beta");
    assert_eq!(list(ListReleasesRequest { update_type: "x".into(), ..all() }).await.1, 0);
    let files = ListReleasesRequest { update_type: "single-file".into(), ..all() };
    assert_eq!(list(files).await.1, 3);
    let sorted =
        async |sort: &str| list(ListReleasesRequest { sort: sort.into(), ..all() }).await.0;
    assert_eq!(sorted("artifacts_count:desc").await, "beta Gamma alpha");
    assert_eq!(sorted("name:desc").await, "beta alpha Gamma");
    assert_eq!(sorted("modified:desc").await, "Gamma beta alpha");
    let page = ListReleasesRequest { page: 2, per_page: 2, ..all() };
    assert_eq!(list(page).await, ("beta".into(), 3));
    assert_eq!(operator.update_types().await.unwrap(), ["single-file"]);
    assert_eq!(operator.tags().await.unwrap(), ["eu", "stable"]);
}

#[tokio::test]
async fn tags_and_notes_have_their_rules() {
    let world = World::new().await;
    let operator = world.operator();
    assert_eq!(refused(operator.set_tags("app", &["a"]).await).0, ErrorCode::NotFound);
    assert_eq!(refused(operator.set_notes("app", "x").await).0, ErrorCode::NotFound);
    operator.upload(&artifact("app", "arm", 10)).await.unwrap();
    operator.set_tags("app", &["A", "a"]).await.unwrap();
    operator.set_notes("app", "for the lab").await.unwrap();
    let release = operator.release("app").await.unwrap();
    assert_eq!((release.tags, release.notes.as_str()), (vec!["a".to_owned()], "for the lab"));
    let many: Vec<String> = (0..21).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(refused(operator.set_tags("app", &many).await).0, ErrorCode::Invalid);
    assert_eq!(refused(operator.set_tags("app", &["a b"]).await).0, ErrorCode::Invalid);
    assert_eq!(refused(operator.set_notes("app", &"x".repeat(1025)).await).0, ErrorCode::Invalid);

    for release in 0..6 {
        let name = format!("app-{release}");
        operator.upload(&artifact(&name, "arm", 10)).await.unwrap();
        let tags: Vec<String> = (0..20).map(|n| format!("{release}-{n}")).collect();
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        // 100 different tags are enough for a tenant, and "a" is one of them.
        let answer = operator.set_tags(&name, &tags).await;
        if release < 4 {
            answer.unwrap();
        } else {
            assert_eq!(refused(answer).0, ErrorCode::Conflict);
        }
    }
    assert_eq!(operator.tags().await.unwrap().len(), 81);
}

#[tokio::test]
async fn releases_end_together_or_not_at_all() {
    let world = World::new().await;
    let operator = world.operator();
    let device = world.device();
    for (name, device_type) in [("one", "arm"), ("one", "mips"), ("two", "arm")] {
        operator.upload(&artifact(name, device_type, 10)).await.unwrap();
    }
    let active = operator.create(for_devices("two", [&device])).await.unwrap();
    assert_eq!(
        operator.delete_releases(&["one", "two"]).await.unwrap(),
        std::slice::from_ref(&active)
    );
    assert_eq!(operator.release("one").await.unwrap().artifacts_count, 2);
    assert_eq!(refused(operator.delete_releases(&[]).await).0, ErrorCode::Invalid);
    operator.abort(&active).await.unwrap();
    assert!(operator.delete_releases(&["one", "two", "never"]).await.unwrap().is_empty());
    assert_eq!(operator.releases(ListReleasesRequest::default()).await.unwrap().total, 0);
    eventually("the bytes are gone", async || (world.files() == 0).then_some(())).await;
}
