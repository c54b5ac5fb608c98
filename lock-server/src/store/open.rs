//! Which store: chosen by the scheme of the database URL.

use std::{fmt, path::PathBuf, sync::Arc};

use super::{
    OpenError, Store, StoreOptions,
    postgres::{PostgresStore, pooler::Pooler},
    sqlite::SqliteStore,
};

/// The URL of a database. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

/// Opens the store that the URL names.
///
/// # Errors
/// When the URL is wrong, or the database cannot be used.
pub async fn open(options: &StoreOptions, pooler: Pooler) -> Result<Arc<dyn Store>, OpenError> {
    match options.url.scheme() {
        "postgres" | "postgresql" => Ok(Arc::new(PostgresStore::open(options, pooler).await?)),
        "sqlite" => Ok(Arc::new(SqliteStore::open(options).await?)),
        _ => Err(options.url.wrong(DatabaseUrl::FORMS.to_owned())),
    }
}

impl DatabaseUrl {
    const FORMS: &str = "write postgres://USER@HOST/DATABASE, sqlite://PATH or sqlite::memory:";

    /// A URL, as long as its scheme is one of those that we know.
    ///
    /// # Errors
    /// What is wrong with it, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Self(text.to_owned());
        match url.scheme() {
            "postgres" | "postgresql" if text.contains("://") => Ok(url),
            "sqlite" if url.sqlite_path().is_some() => Ok(url),
            _ => Err(Self::FORMS.to_owned()),
        }
    }

    /// The embedded default: a SQLite file in the user's data folder.
    ///
    /// # Errors
    /// When the user has no such folder.
    pub fn embedded_default() -> Result<Self, String> {
        let folder = dirs::data_dir().ok_or(
            "no data folder is known for this user (neither XDG_DATA_HOME nor HOME is set): \
             give --database-url",
        )?;
        let path = folder.join("lock-server").join("locks.db");
        Ok(Self(format!("sqlite://{}", path.display())))
    }

    /// The URL with its password.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is that of a Postgres.
    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.scheme(), "postgres" | "postgresql")
    }

    fn scheme(&self) -> &str {
        self.0.split_once(':').map_or("", |(scheme, _)| scheme)
    }

    /// The file of a SQLite URL: `Some(None)` when it is in memory only.
    pub(super) fn sqlite_path(&self) -> Option<Option<PathBuf>> {
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

    /// An error about this URL.
    pub(super) fn wrong(&self, problem: String) -> OpenError {
        OpenError::Url { url: self.to_string(), problem }
    }
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
