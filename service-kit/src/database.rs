//! The URL of a service's database, and whether to bring its schema up to date. What the schema is
//! made of: [`migrations`].

#[cfg(feature = "migrations")]
pub mod migrations;

use std::{fmt, path::PathBuf};

/// The URL of a database: Postgres, or SQLite in a file or in memory. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

/// Whether a server brings its database's schema up to date when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Migrate {
    /// It does, before it serves.
    #[default]
    Auto,
    /// It refuses to serve when the schema is not up to date.
    Never,
}

impl fmt::Display for Migrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Never => "never",
        })
    }
}

impl DatabaseUrl {
    /// What a URL looks like.
    pub const FORMS: &str = "write postgres://USER@HOST/DATABASE, sqlite://PATH or sqlite::memory:";

    /// A URL, as long as its scheme is one of those that we know.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Self(text.to_owned());
        match url.scheme() {
            "postgres" | "postgresql" if text.contains("://") => Ok(url),
            "sqlite" if url.sqlite_path().is_some() => Ok(url),
            _ => Err(Self::FORMS.to_owned()),
        }
    }

    /// The URL of a SQLite file.
    ///
    /// # Errors
    ///
    /// When its path cannot stand in a URL.
    pub fn sqlite(path: &std::path::Path) -> Result<Self, String> {
        let url = path.to_str().map(|path| format!("sqlite://{path}"));
        url.and_then(|url| Self::parse(&url).ok()).ok_or_else(|| {
            format!("{} cannot stand in a URL: it is not UTF-8, or holds a `?`", path.display())
        })
    }

    /// The embedded default: a SQLite file in a folder of the user's data folder.
    ///
    /// # Errors
    ///
    /// When the user has no such folder.
    pub fn embedded_default(folder: &str, file: &str) -> Result<Self, String> {
        let data = data_folder().map_err(|problem| format!("{problem}: give --database-url"))?;
        Self::sqlite(&data.join(folder).join(file))
            .map_err(|problem| format!("{problem}: give --database-url"))
    }

    /// The URL with its password.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is that of a Postgres.
    pub fn is_postgres(&self) -> bool {
        matches!(self.scheme(), "postgres" | "postgresql")
    }

    /// What stands before the first colon.
    pub fn scheme(&self) -> &str {
        self.0.split_once(':').map_or("", |(scheme, _)| scheme)
    }

    /// The file of a SQLite URL: `Some(None)` when it is in memory only.
    pub fn sqlite_path(&self) -> Option<Option<PathBuf>> {
        match self.0.strip_prefix("sqlite:")? {
            ":memory:" => Some(None),
            rest => match rest.strip_prefix("//")? {
                "" => None,
                // What the database library would take as its own options.
                path if path.contains('?') => None,
                path => Some(Some(PathBuf::from(path))),
            },
        }
    }
}

/// The folder in which the user's programs keep data, each in a folder of its own.
///
/// # Errors
///
/// When none is known.
pub fn data_folder() -> Result<PathBuf, String> {
    dirs::data_dir().ok_or_else(|| {
        "no data folder is known for this user (neither XDG_DATA_HOME nor HOME is set)".to_owned()
    })
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.0;
        let Some((scheme, rest)) = url.split_once("://") else { return f.write_str(url) };
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(r, q)| (r, Some(q)));
        // A password may hold an '@' that should have been escaped.
        let (user, place) = rest.rsplit_once('@').map_or(("", rest), |(user, place)| (user, place));
        write!(f, "{scheme}://")?;
        match user.split_once(':') {
            Some((name, _password)) => write!(f, "{name}:***@")?,
            None if user.is_empty() => {}
            None => write!(f, "{user}@")?,
        }
        f.write_str(place)?;
        let mut mark = '?';
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            let is_secret = pair.to_ascii_lowercase().starts_with("password=");
            write!(f, "{mark}{}", if is_secret { "password=***" } else { pair })?;
            mark = '&';
        }
        Ok(())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_engines_by_their_scheme() {
        for right in
            ["postgres://h/d", "postgresql:///d?host=/tmp", "sqlite:///a.db", "sqlite::memory:"]
        {
            assert!(DatabaseUrl::parse(right).is_ok(), "{right}");
        }
        for wrong in
            ["", "mysql://h/d", "a.db", "sqlite:", "sqlite://", "sqlite://a?mode=ro", "postgres:d"]
        {
            let problem = DatabaseUrl::parse(wrong).unwrap_err();
            assert!(problem.contains("postgres://USER@HOST/DATABASE"), "{wrong}: {problem}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let shown = |text: &str| DatabaseUrl::parse(text).unwrap().to_string();
        assert_eq!(shown("postgres://me:se@cret@h:5/d"), "postgres://me:***@h:5/d");
        assert_eq!(shown("postgres://me@h/d"), "postgres://me@h/d");
        assert_eq!(
            shown("postgres://h/d?password=x&user=me"),
            "postgres://h/d?password=***&user=me"
        );
        assert_eq!(shown("sqlite::memory:"), "sqlite::memory:");
        assert!(!format!("{:?}", DatabaseUrl::parse("postgres://a:secret@h/d")).contains("secret"));
    }

    #[test]
    fn sqlite_paths_may_be_relative_or_absolute() {
        let path = |text: &str| DatabaseUrl::parse(text).unwrap().sqlite_path().unwrap();
        assert_eq!(path("sqlite://a/b.db"), Some(PathBuf::from("a/b.db")));
        assert_eq!(path("sqlite:///a.db"), Some(PathBuf::from("/a.db")));
        assert_eq!(path("sqlite::memory:"), None);
    }
}
