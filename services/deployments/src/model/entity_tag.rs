//! Which versions of a file a client has already (RFC 9110, section 13.1.2).

/// Whether a file's entity tag is among those of an `If-None-Match` header. The comparison is
/// weak: `W/` says nothing of a file that has one form only. `*` is any version.
///
/// From where a list cannot be understood, it names nothing: the file is served once more.
pub(crate) fn is_among(etag: &str, header: &str) -> bool {
    header.trim() == "*" || tags(etag).any(|own| tags(header).any(|known| known == own))
}

/// The opaque parts of the tags in a list. They may hold commas.
fn tags(mut list: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        list = list.trim_start_matches([' ', '\t', ',']);
        let tag = list.strip_prefix("W/").unwrap_or(list);
        let (opaque, after) = tag.strip_prefix('"')?.split_once('"')?;
        list = after.trim_start_matches([' ', '\t']);
        (list.is_empty() || list.starts_with(',')).then_some(opaque)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_as_the_rfc_has_them() {
        for (header, known) in [
            (r#""a""#, true),
            (r#"W/"a""#, true),
            ("*", true),
            (" * ", true),
            (r#""b", "a""#, true),
            ("\"b\",W/\"a\"\t,\"c\"", true),
            (r#", ,"a","#, true),
            (r#""x, y", "a""#, true),
            (r#""", "a""#, true),
            ("", false),
            (r#""b""#, false),
            (r#""A""#, false),
            (r#""a, b""#, false),
            (r#""*""#, false),
            // None of these is a tag.
            ("a", false),
            (r#"w/"a""#, false),
            (r#""a"#, false),
            (r#""a"b"#, false),
            (r#"b, "a""#, false),
            (r#""b", *"#, false),
        ] {
            assert_eq!(is_among(r#""a""#, header), known, "{header:?}");
        }
    }
}
