//! What the migrations of a service must hold, so that they can be released.

use std::{fs, path::Path};

use crate::database::migrations::Script;

/// Panics unless each engine has the same migrations, numbered from 1 without a gap, and these are
/// the files in `FOLDER/ENGINE/`, as `0001_name.sql`: none was forgotten.
#[track_caller]
pub fn assert_migrations(folder: impl AsRef<Path>, engines: &[(&str, &[Script])]) {
    for (engine, scripts) in engines {
        let listed = |scripts: &[Script]| -> Vec<_> {
            scripts.iter().map(|(number, name, _)| (*number, *name)).collect()
        };
        let (first, first_scripts) = engines[0];
        assert_eq!(listed(scripts), listed(first_scripts), "{engine}, {first}: not in step");
        let numbers: Vec<_> = scripts.iter().map(|(number, ..)| *number).collect();
        let gapless: Vec<_> = (1..).take(scripts.len()).collect();
        assert_eq!(numbers, gapless, "{engine}: not numbered from 1 without a gap");
        let known: Vec<_> =
            scripts.iter().map(|(number, name, _)| format!("{number:04}_{name}.sql")).collect();
        let files = files(&folder.as_ref().join(engine));
        assert_eq!(files, known, "{engine}: not those of the folder");
    }
}

/// The names of the files in a folder, in order.
#[track_caller]
fn files(folder: &Path) -> Vec<String> {
    let listed = fs::read_dir(folder);
    let listed = listed.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<_> = listed
        .map(|file| file.expect("a file").file_name().into_string().expect("a name in UTF-8"))
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files for each of two engines.
    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for engine in ["one", "two"] {
            fs::create_dir(folder.path().join(engine)).unwrap();
            for name in names {
                fs::write(folder.path().join(engine).join(name), "").unwrap();
            }
        }
        folder
    }

    #[test]
    fn what_is_in_step_and_complete_is_right() {
        let scripts = [(1, "a", ""), (2, "b", "")];
        let folder = folder(&["0002_b.sql", "0001_a.sql"]);
        assert_migrations(folder.path(), &[("one", &scripts), ("two", &scripts)]);
    }

    #[test]
    #[should_panic(expected = "two, one: not in step")]
    fn a_migration_of_one_engine_only_is_noticed() {
        let folder = folder(&["0001_a.sql"]);
        assert_migrations(folder.path(), &[("one", &[(1, "a", "")]), ("two", &[])]);
    }

    #[test]
    #[should_panic(expected = "one: not numbered")]
    fn a_gap_is_noticed() {
        let scripts = [(1, "a", ""), (3, "c", "")];
        let folder = folder(&["0001_a.sql", "0003_c.sql"]);
        assert_migrations(folder.path(), &[("one", &scripts), ("two", &scripts)]);
    }

    #[test]
    #[should_panic(expected = "one: not those of the folder")]
    fn a_file_that_was_forgotten_is_noticed() {
        let scripts = [(1, "a", "")];
        let folder = folder(&["0001_a.sql", "0002_b.sql"]);
        assert_migrations(folder.path(), &[("one", &scripts), ("two", &scripts)]);
    }
}
