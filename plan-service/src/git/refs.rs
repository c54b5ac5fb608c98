//! Refs: where they point to, and moving them all together.

use super::{GitError, Repo, command::Command, retry::Tries};
use crate::domain::{Fence, Oid};

/// Where the fence refs of plans stand.
pub(super) const FENCES: &str = "refs/plan-service/fence/";

/// No ref may have one of these names: git keeps refs as paths, and those that
/// plans make stand below.
const FOLDERS: [&str; 3] = ["refs/heads/plan", "refs/plan-service", "refs/plan-service/fence"];

/// What is checked out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The branch, `refs/heads/…`; none when HEAD is detached.
    pub branch: Option<String>,
    /// Its commit.
    pub commit: Oid,
}

/// One ref that is to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefMove {
    /// Its full name.
    pub name: String,
    /// Where it must be before.
    pub from: From,
    /// Where it is to be; nowhere, to delete it.
    pub to: Option<Oid>,
}

/// Where a ref must be for it to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// There.
    Exactly(Oid),
    /// Nowhere: it must not exist.
    Absent,
    /// Wherever it is, or nowhere.
    Anything,
}

/// What became of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "refs that did not move are where they were"]
pub enum Moved {
    /// All of them have moved.
    Moved,
    /// None has: the fence is not, or not any more, the one of this run.
    FenceGone,
    /// None has: one was not where it should have been.
    Changed,
}

impl Repo {
    /// What is checked out.
    ///
    /// # Errors
    /// When git fails, or the branch has no commit.
    pub async fn head(&self) -> Result<Head, GitError> {
        let command = self.command().read_only().args(["symbolic-ref", "--quiet", "HEAD"]);
        let output = command.output().await?;
        let branch = match output.status.code() {
            Some(0) => Some(
                String::from_utf8(output.stdout)
                    .map_err(|_| command.failed("the name of the branch is not UTF-8"))?
                    .trim_end_matches('\n')
                    .to_owned(),
            ),
            Some(1) => None,
            _ => return Err(command.error(&output)),
        };
        // Through the branch's name, so that the two belong together.
        let commit = match &branch {
            Some(branch) => self.resolve(branch).await?,
            None => self.commit_of("HEAD").await?,
        };
        match commit {
            Some(commit) => Ok(Head { branch, commit }),
            None => Err(command.failed("what is checked out has no commit")),
        }
    }

    /// The commit that a ref points to, by its full name, or the commit of this
    /// id; none if there is no such.
    ///
    /// # Errors
    /// When git fails, or the name is none.
    pub async fn resolve(&self, name: &str) -> Result<Option<Oid>, GitError> {
        let oid = match Oid::parse(name) {
            Ok(oid) => Some(oid),
            Err(_) => self.ref_value(name).await?,
        };
        match oid {
            Some(oid) => self.commit_of(oid.as_str()).await,
            None => Ok(None),
        }
    }

    async fn commit_of(&self, name: &str) -> Result<Option<Oid>, GitError> {
        let command = self.command().read_only().args(["rev-parse", "--verify", "--quiet"]);
        let command = command.arg(format!("{name}^{{commit}}"));
        let output = command.output().await?;
        match output.status.code() {
            Some(0) => command.oid_of(&output.stdout).map(Some),
            Some(1) => Ok(None),
            _ => Err(command.error(&output)),
        }
    }

    /// Whether one commit is another's ancestor, or the same.
    ///
    /// # Errors
    /// When git fails, or one of them does not exist.
    pub async fn is_ancestor(&self, ancestor: &Oid, of: &Oid) -> Result<bool, GitError> {
        let command = self.command().read_only().args(["merge-base", "--is-ancestor"]);
        command.args([ancestor.as_str(), of.as_str()]).yes().await
    }

    /// The tree of a commit.
    ///
    /// # Errors
    /// When git fails, or there is no such commit.
    pub async fn tree_of(&self, commit: &Oid) -> Result<Oid, GitError> {
        let command = self.command().read_only().args(["rev-parse", "--verify"]);
        command.arg(format!("{commit}^{{tree}}")).oid().await
    }

    /// Moves all of these refs, or none: under the fence that this run has
    /// raised.
    ///
    /// # Errors
    /// When git fails. Nothing has moved then, unless git was ended in the very
    /// moment in which it moved them.
    pub async fn move_refs(&self, fence: Fence, moves: &[RefMove]) -> Result<Moved, GitError> {
        let ours = self.fence_blob(fence).await?;
        let transaction = self.transaction(fence, &ours, moves)?;
        let mut tries = Tries::new(&self.git);
        loop {
            let error = match transaction.ok().await {
                Ok(_) => return Ok(Moved::Moved),
                Err(error) => error,
            };
            // It was ended, perhaps after it had done it.
            if error.status.is_none() && self.has_happened(moves).await? {
                return Ok(Moved::Moved);
            }
            // What it says about why is for people; what is there now counts.
            if self.ref_value(&fence_ref(fence)).await?.as_ref() != Some(&ours) {
                return Ok(Moved::FenceGone);
            }
            if self.has_changed(moves).await? {
                return Ok(Moved::Changed);
            }
            tries.after(error).await?;
        }
    }

    fn transaction(
        &self,
        fence: Fence,
        ours: &Oid,
        moves: &[RefMove],
    ) -> Result<Command, GitError> {
        let command = self.command().args(["update-ref", "--stdin", "-z"]);
        let command = command.args(["-m", &format!("plan-service: plan {}", fence.plan)]);
        // Between start and commit: were we to end before all of it is written,
        // git would drop it. Without, it would carry out the part that it has.
        let mut text = format!("start\0verify {}\0{ours}\0", fence_ref(fence));
        for RefMove { name, from, to } in moves {
            self.check_name(name)?;
            let next = match (to, from) {
                (Some(to), From::Exactly(from)) => format!("update {name}\0{to}\0{from}\0"),
                (Some(to), From::Absent) => format!("create {name}\0{to}\0"),
                (Some(to), From::Anything) => format!("update {name}\0{to}\0\0"),
                (None, From::Exactly(from)) => format!("delete {name}\0{from}\0"),
                (None, From::Absent) => format!("verify {name}\0\0"),
                (None, From::Anything) => format!("delete {name}\0\0"),
            };
            text.push_str(&next);
        }
        text.push_str("prepare\0commit\0");
        Ok(command.stdin(text))
    }

    /// Whether all refs are where they are to be.
    async fn has_happened(&self, moves: &[RefMove]) -> Result<bool, GitError> {
        for RefMove { name, to, .. } in moves {
            if self.ref_value(name).await? != *to {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether a ref is not where a move wants it.
    async fn has_changed(&self, moves: &[RefMove]) -> Result<bool, GitError> {
        for RefMove { name, from, .. } in moves {
            let now = self.ref_value(name).await?;
            let as_wanted = match from {
                From::Exactly(from) => now.as_ref() == Some(from),
                From::Absent => now.is_none(),
                From::Anything => true,
            };
            if !as_wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What exactly this ref points to.
    pub(super) async fn ref_value(&self, name: &str) -> Result<Option<Oid>, GitError> {
        self.check_name(name)?;
        let command = self.command().read_only();
        // Unlike rev-parse, it does not try other refs that end in this name.
        let command = command.args(["for-each-ref", "--format=%(objectname) %(refname)", name]);
        let stdout = command.ok().await?;
        let stdout = String::from_utf8_lossy(&stdout);
        let mut lines = stdout.lines().filter_map(|line| line.split_once(' '));
        let found = lines.find(|(_, refname)| *refname == name);
        found.map(|(oid, _)| command.oid_of(oid.as_bytes())).transpose()
    }

    /// A ref that keeps plans from making theirs.
    pub(super) async fn ref_in_the_way(&self) -> Result<Option<String>, GitError> {
        let list = self.command().read_only().args(["for-each-ref", "--format=%(refname)"]);
        let names = list.args(FOLDERS).ok().await?;
        let names = String::from_utf8_lossy(&names);
        Ok(names.lines().find(|name| FOLDERS.contains(name)).map(str::to_owned))
    }

    /// Names are ours or come from git: this is only the last look.
    fn check_name(&self, name: &str) -> Result<(), GitError> {
        let fine = |c: char| !c.is_whitespace() && !c.is_control();
        if name.starts_with("refs/") && name.chars().all(fine) {
            return Ok(());
        }
        Err(self
            .command()
            .arg("update-ref")
            .failed(format!("{name:?} is not a ref: write refs/ and its name, without spaces")))
    }
}

/// The ref that a plan's run holds its fence up with.
pub(super) fn fence_ref(fence: Fence) -> String {
    format!("{FENCES}{}", fence.plan)
}
