//! A connection to either engine, and statements that both understand.
//!
//! Why not sqlx's `Any`: it takes no connection options, and without them it
//! can neither connect through PgBouncer (`extra_float_digits`) nor be told how
//! SQLite is to wait and to sync.
//!
//! In Postgres, statements are never given a name at the server, and each stands
//! in a transaction, so that it works behind a proxy that lends connections for
//! a transaction.

use std::borrow::Cow;

use sqlx::{
    AssertSqlSafe, ColumnIndex, Connection as _, Decode, PgConnection, Postgres, Sqlite,
    SqliteConnection, Type, postgres::PgRow, sqlite::SqliteRow,
};

use super::StoreError;

/// A connection to either engine.
#[derive(Debug)]
pub(super) enum Connection {
    Postgres(Box<PgConnection>),
    Sqlite(Box<SqliteConnection>),
}

/// What stands in the place of a `$1`.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Bool(bool),
    Int(i64),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

/// A statement with its values.
#[derive(Debug)]
pub(super) struct Statement {
    text: Cow<'static, str>,
    values: Vec<Value>,
}

/// A row of an answer.
#[derive(Debug)]
pub(super) enum Row {
    Postgres(PgRow),
    Sqlite(SqliteRow),
}

/// What a column of either engine can be read as.
pub(super) trait Column:
    Type<Postgres> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + for<'r> Decode<'r, Sqlite>
{
}

impl<T> Column for T where
    T: Type<Postgres> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + for<'r> Decode<'r, Sqlite>
{
}

/// sqlx's query of a [`Statement`], of whichever engine.
macro_rules! query {
    ($statement:expr, persistent: $persistent:literal) => {{
        let Statement { text, values } = $statement;
        let mut query = sqlx::query(AssertSqlSafe(text)).persistent($persistent);
        for value in values {
            query = match value {
                Value::Bool(value) => query.bind(value),
                Value::Int(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::Bytes(value) => query.bind(value),
            };
        }
        query
    }};
}

impl Connection {
    /// Runs plain SQL without values: the beginning and the end of transactions.
    pub(super) async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        match self {
            Self::Postgres(connection) => sql.execute(&mut **connection).await.map(drop),
            Self::Sqlite(connection) => sql.execute(&mut **connection).await.map(drop),
        }
    }

    /// Carries a statement out: how many rows it changed.
    pub(super) async fn execute(&mut self, statement: Statement) -> Result<u64, sqlx::Error> {
        match self {
            Self::Postgres(connection) => {
                let done = query!(statement, persistent: false).execute(&mut **connection).await?;
                Ok(done.rows_affected())
            }
            Self::Sqlite(connection) => {
                let done = query!(statement, persistent: true).execute(&mut **connection).await?;
                Ok(done.rows_affected())
            }
        }
    }

    /// Carries a statement out: its rows.
    pub(super) async fn rows(&mut self, statement: Statement) -> Result<Vec<Row>, sqlx::Error> {
        match self {
            Self::Postgres(connection) => {
                let rows =
                    query!(statement, persistent: false).fetch_all(&mut **connection).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
            Self::Sqlite(connection) => {
                let rows = query!(statement, persistent: true).fetch_all(&mut **connection).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
        }
    }

    /// Says goodbye.
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(connection) => connection.close().await,
            Self::Sqlite(connection) => connection.close().await,
        }
    }
}

/// A statement: its text is the same for both engines.
pub(super) fn sql(text: &'static str) -> Statement {
    Statement { text: text.into(), values: Vec::new() }
}

impl Statement {
    /// Gives the next `$1`, `$2`, … its value.
    #[must_use]
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Appends text.
    pub(super) fn push(&mut self, text: &'static str) {
        self.text.to_mut().push_str(text);
    }

    /// Appends the place of a value, and the value.
    pub(super) fn push_value(&mut self, value: impl Into<Value>) {
        self.values.push(value.into());
        let place = format!("${}", self.values.len());
        self.text.to_mut().push_str(&place);
    }

    /// Appends values with commas between, in parentheses.
    pub(super) fn push_list(&mut self, values: impl IntoIterator<Item = impl Into<Value>>) {
        self.push("(");
        for (at, value) in values.into_iter().enumerate() {
            if at > 0 {
                self.push(", ");
            }
            self.push_value(value);
        }
        self.push(")");
    }
}

impl Row {
    /// A column.
    pub(super) fn get<T: Column>(&self, column: &str) -> Result<T, StoreError> {
        fn of<'r, R, T>(row: &'r R, column: &str) -> Result<T, sqlx::Error>
        where
            R: sqlx::Row,
            T: Decode<'r, R::Database> + Type<R::Database>,
            for<'c> &'c str: ColumnIndex<R>,
        {
            row.try_get(column)
        }
        match self {
            Self::Postgres(row) => of(row, column),
            Self::Sqlite(row) => of(row, column),
        }
        .map_err(StoreError::Database)
    }

    /// A column that counts something.
    pub(super) fn count(&self, column: &str) -> Result<u64, StoreError> {
        let count: i64 = self.get(column)?;
        u64::try_from(count)
            .map_err(|_| StoreError::Unreadable(format!("{column} is {count}, which is no count")))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(Some(value.to_vec()))
    }
}

impl From<Option<&[u8]>> for Value {
    fn from(value: Option<&[u8]>) -> Self {
        Self::Bytes(value.map(<[u8]>::to_vec))
    }
}

/// A count, as far as the database's numbers go.
impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}
