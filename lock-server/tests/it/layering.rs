//! Who may know of whom, read from the sources: rules know no I/O, one side
//! knows of gRPC and the other of SQL.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A source file, by its path below `src`, without comments.
struct Source {
    path: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let read = |file: PathBuf| Source {
        path: file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(),
        text: without_comments(&fs::read_to_string(&file).unwrap()),
    };
    files.into_iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn without_comments(text: &str) -> String {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.map(|line| format!("{line}\n")).collect()
}

impl Source {
    /// Whether the file is one of these, or in one of these folders.
    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| {
            self.path == format!("{place}.rs") || self.path.starts_with(&format!("{place}/"))
        })
    }

    /// Whether it names a crate, as `name::…` or `use name`.
    fn names(&self, name: &str) -> bool {
        let path = format!("{name}::");
        let starts_word = |at: usize| {
            !self.text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
        };
        self.text.match_indices(&path).any(|(at, _)| starts_word(at))
            || self.text.contains(&format!("use {name};"))
            || self.text.contains(&format!("use {name} "))
    }

    /// The modules of this crate that its `use` lines and paths name.
    fn modules(&self) -> BTreeSet<String> {
        let tight: String = self.text.chars().filter(|c| !c.is_whitespace()).collect();
        let mut found = BTreeSet::new();
        for (at, _) in tight.match_indices("crate::") {
            let rest = &tight[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                Some(list) => found.extend(heads(list)),
                None => found.extend([word(rest)]),
            }
        }
        found
    }
}

/// The first words of the parts of a braced list, up to its end.
fn heads(list: &str) -> Vec<String> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.push(word(&list[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(word(&list[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    found.retain(|head| !head.is_empty());
    found
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The files that name a crate and are in none of the places.
fn named_outside(name: &str, places: &[&str]) -> Vec<String> {
    let files = sources().into_iter().filter(|file| file.names(name) && !file.is_in(places));
    files.map(|file| file.path).collect()
}

#[test]
fn the_sources_are_read() {
    let sources = sources();
    let status = sources.iter().find(|file| file.path == "grpc/status.rs").unwrap();
    assert!(status.names("tonic") && status.names("proto") && !status.names("sqlx"));
    assert!(status.modules().contains("domain") && status.modules().contains("error"));
    assert_eq!(heads("a::{b,c},d,e::f};g"), ["a", "d", "e"]);
}

#[test]
fn the_rules_know_of_no_input_or_output() {
    for name in [
        "tokio",
        "tonic",
        "sqlx",
        "rusqlite",
        "proto",
        "prost",
        "prost_types",
        "futures",
        "tracing",
    ] {
        let domain = sources().into_iter().filter(|file| file.is_in(&["domain"]));
        let wrong: Vec<_> = domain.filter(|file| file.names(name)).map(|file| file.path).collect();
        assert_eq!(wrong, [""; 0], "src/domain names {name}");
    }
}

#[test]
fn only_one_side_knows_of_grpc() {
    let places = ["grpc", "server"];
    for name in ["tonic", "tonic_types", "tonic_health", "tonic_reflection"] {
        assert_eq!(named_outside(name, &places), [""; 0], "{name}");
    }
    for name in ["proto", "prost", "prost_types"] {
        assert_eq!(named_outside(name, &["grpc"]), [""; 0], "{name}");
    }
}

#[test]
fn only_the_other_side_knows_of_sql() {
    for name in ["sqlx", "rusqlite"] {
        assert_eq!(named_outside(name, &["store"]), [""; 0], "{name}");
    }
}

#[test]
fn layers_know_of_those_below_only() {
    for (layer, above) in [
        ("domain", &["grpc", "engine", "store", "config", "server", "error"][..]),
        ("store", &["grpc", "engine", "config", "server"]),
        ("engine", &["grpc", "config", "server"]),
        ("grpc", &["server", "store"]),
    ] {
        for file in sources().into_iter().filter(|file| file.is_in(&[layer])) {
            let modules = file.modules();
            for module in above {
                assert!(!modules.contains(*module), "{} names {module}", file.path);
            }
        }
    }
}
