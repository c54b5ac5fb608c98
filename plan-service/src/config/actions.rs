//! Actions from files: every `*.toml` of a folder is one. What is wrong with
//! one is told by its file and field, before the service serves anything.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use crate::domain::{ActionDraft, ActionName, ActionTemplate, Violation};

/// The actions of a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ActionsError {
    /// The folder, or a file in it, cannot be read.
    #[error("--allow-actions-from: cannot read {}", .path.display())]
    Read {
        /// What cannot be read.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no file.
    #[error(
        "--allow-actions-from: {} holds no file *.toml; without an action, nothing could be run",
        .folder.display()
    )]
    None {
        /// The folder.
        folder: PathBuf,
    },
    /// A file is not TOML, or has keys that an action has not.
    #[error("--allow-actions-from: {}: line {line}{}: {problem}", .path.display(), at(.key))]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where in it.
        line: usize,
        /// The key there, if there is one.
        key: Option<String>,
        /// What is wrong.
        problem: String,
    },
    /// An action is wrong.
    #[error("--allow-actions-from: {}: {}", .path.display(), in_words(.violations))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Every field that is wrong.
        violations: Vec<Violation>,
    },
    /// Two files have an action of one name.
    #[error(
        "--allow-actions-from: action {name} is in {} and in {}; actions have names of their own",
        .first.display(), .second.display()
    )]
    Twice {
        /// The name.
        name: ActionName,
        /// The one file.
        first: PathBuf,
        /// The other one.
        second: PathBuf,
    },
}

/// The actions in the files `*.toml` of a folder, by name.
///
/// # Errors
/// The first file that is wrong, with everything that is wrong in it.
pub fn load_actions(folder: &Path) -> Result<Vec<ActionTemplate>, ActionsError> {
    let mut loaded: BTreeMap<ActionName, (PathBuf, ActionTemplate)> = BTreeMap::new();
    for path in files(folder)? {
        let template = load(&path)?;
        if let Some((first, _)) = loaded.get(&template.name) {
            let (name, first) = (template.name, first.clone());
            return Err(ActionsError::Twice { name, first, second: path });
        }
        loaded.insert(template.name.clone(), (path, template));
    }
    Ok(loaded.into_values().map(|(_, template)| template).collect())
}

/// The files, in the order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>, ActionsError> {
    let failed = |source| ActionsError::Read { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(ActionsError::None { folder: folder.to_owned() });
    }
    files.sort();
    Ok(files)
}

fn load(path: &Path) -> Result<ActionTemplate, ActionsError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ActionsError::Read { path: path.to_owned(), source })?;
    let draft: ActionDraft = toml::from_str(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text[..at].matches('\n').count();
        let key = text.lines().nth(line).and_then(|line| line.split_once('='));
        ActionsError::Parse {
            path: path.to_owned(),
            line: line + 1,
            key: key.map(|(key, _)| key.trim().to_owned()),
            problem: error.message().to_owned(),
        }
    })?;
    draft.check().map_err(|violations| ActionsError::Invalid { path: path.to_owned(), violations })
}

fn at(key: &Option<String>) -> String {
    key.as_ref().map_or_else(String::new, |key| format!(" ({key})"))
}

fn in_words(violations: &[Violation]) -> String {
    let words: Vec<_> =
        violations.iter().map(|one| format!("{} {}", one.field, one.description)).collect();
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name = 'fmt/rust'\n[[steps]]\nname = 'fmt'\nargv = ['cargo', 'fmt']\n";

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn refused(files: &[(&str, &str)]) -> String {
        load_actions(folder(files).path()).unwrap_err().to_string()
    }

    #[test]
    fn every_toml_file_is_an_action() {
        let other = GOOD.replace("fmt/rust", "a/first");
        let folder = folder(&[("b.toml", GOOD), ("c.toml", &other), ("README.md", "not one")]);
        let actions = load_actions(folder.path()).unwrap();
        let names: Vec<_> = actions.iter().map(|action| action.name.as_str()).collect();
        assert_eq!(names, ["a/first", "fmt/rust"]);
        assert_eq!(actions[1].steps[0].argv, ["cargo", "fmt"]);
    }

    #[test]
    fn what_is_wrong_is_told_by_file_and_field() {
        let empty = refused(&[("x.toml", "name = 'Fmt'\nsteps = []\n")]);
        for word in ["x.toml", "name is not an action's name", "steps is empty"] {
            assert!(empty.contains(word), "{word}: {empty}");
        }
        let unknown = refused(&[("y.toml", &format!("{GOOD}shell = 'sh'\n"))]);
        for word in ["y.toml: line 5", "shell", "argv"] {
            assert!(unknown.contains(word), "{word}: {unknown}");
        }
        let span = refused(&[("s.toml", &format!("{GOOD}time_limit = '90x'\n"))]);
        assert!(span.contains("s.toml: line 5 (time_limit): not a span: write 90s"), "{span}");
        let bare = refused(&[("n.toml", &format!("{GOOD}time_limit = 90\n"))]);
        assert!(bare.contains("n.toml: line 5 (time_limit): "), "{bare}");
        assert!(bare.ends_with("expected text with a unit, such as \"90s\", \"10m\" or \"1h\""));
        let broken = refused(&[("z.toml", "name = \n")]);
        assert!(broken.contains("z.toml: line 1"), "{broken}");
    }

    #[test]
    fn one_name_is_one_action() {
        let twice = refused(&[("1.toml", GOOD), ("2.toml", GOOD)]);
        for word in ["fmt/rust", "1.toml", "2.toml"] {
            assert!(twice.contains(word), "{word}: {twice}");
        }
    }

    #[test]
    fn a_folder_without_an_action_is_refused() {
        let error = refused(&[("README.md", "none"), ("a.yaml", "name: none")]);
        assert!(error.ends_with("holds no file *.toml; without an action, nothing could be run"));
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = load_actions(&folder.path().join("gone")).unwrap_err().to_string();
        assert!(error.contains("gone"), "{error}");
    }
}
