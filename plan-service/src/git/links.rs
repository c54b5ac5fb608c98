//! Symbolic links that lead out of a project.
//!
//! Links are followed through other links, as the system would: `a/b/up`, which
//! leads to the top, and `x`, which leads to `a/b/up/..`, are each harmless by
//! their letters.

use std::collections::{HashMap, HashSet};

use super::{GitError, Repo};
use crate::domain::{Oid, RepoPath};

/// The mode of a link.
const LINK: &str = "120000";

/// A target that is longer cannot be a link on Linux.
const LONGEST_TARGET: u64 = 4096;

/// How many links are followed, one from another: as many as Linux does.
const MOST_FOLLOWED: usize = 40;

/// What each link of a tree leads to.
type Links = HashMap<Vec<u8>, Vec<u8>>;

impl Repo {
    /// Links that lead out of the project in `to` and did not in `from`: new
    /// and changed ones whose target is absolute or leads above the top, and
    /// those that do so by way of such a link.
    ///
    /// # Errors
    /// When git fails, or one of the commits or trees does not exist.
    pub async fn links_out(&self, from: &Oid, to: &Oid) -> Result<Vec<RepoPath>, GitError> {
        let changes = self.raw_changes(from, to).await?;
        let changed = changes.into_iter().filter(|change| change.new_mode == LINK);
        let changed = changed.map(|change| change.path).collect::<HashSet<_>>();
        if changed.is_empty() {
            return Ok(Vec::new());
        }
        let links = self.links(to).await?;
        let mut out = links.keys().filter(|link| leads_out(link, &links, &changed));
        let mut out = out.by_ref().cloned().map(RepoPath).collect::<Vec<_>>();
        out.sort();
        Ok(out)
    }

    /// All links of a tree.
    async fn links(&self, tree: &Oid) -> Result<Links, GitError> {
        let command = self.command().read_only().args(["ls-tree", "-r", "-z", tree.as_str()]);
        let stdout = command.ok().await?;
        let entries = stdout.split(|byte| *byte == 0).filter_map(|entry| {
            let tab = entry.iter().position(|byte| *byte == b'\t')?;
            let head = str::from_utf8(&entry[..tab]).ok()?;
            let oid = head.strip_prefix(LINK)?.rsplit(' ').next()?;
            Some((entry[tab + 1..].to_vec(), oid.to_owned()))
        });
        let entries = entries.collect::<Vec<_>>();
        let targets = self.targets(entries.iter().map(|(_, oid)| oid.as_str())).await?;
        Ok(entries
            .into_iter()
            .filter_map(|(path, oid)| Some((path, targets.get(&oid)?.clone())))
            .collect())
    }

    /// What these blobs hold, without those that are too long for a link.
    async fn targets(
        &self,
        oids: impl Iterator<Item = &str>,
    ) -> Result<HashMap<String, Vec<u8>>, GitError> {
        let mut asked = String::new();
        for oid in oids.collect::<HashSet<_>>() {
            asked.push_str(oid);
            asked.push('\n');
        }
        let cat = self.command().read_only().arg("cat-file");
        let sizes = cat.clone().arg("--batch-check").stdin(asked).ok().await?;
        let mut asked = String::new();
        for line in String::from_utf8_lossy(&sizes).lines() {
            let mut fields = line.split(' ');
            let (oid, size) = (fields.next(), fields.nth(1).and_then(|size| size.parse().ok()));
            if let (Some(oid), Some(0..=LONGEST_TARGET)) = (oid, size) {
                asked.push_str(oid);
                asked.push('\n');
            }
        }
        let stdout = cat.arg("--batch").stdin(asked).ok().await?;
        read_batch(&stdout).ok_or_else(|| self.unreadable("cat-file"))
    }
}

/// Reads `OID TYPE SIZE LF CONTENT LF`, again and again.
fn read_batch(mut rest: &[u8]) -> Option<HashMap<String, Vec<u8>>> {
    let mut found = HashMap::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let mut fields = str::from_utf8(&rest[..end]).ok()?.split(' ');
        let oid = fields.next()?.to_owned();
        let size = fields.nth(1)?.parse::<usize>().ok()?;
        let content = rest.get(end + 1..end + 1 + size)?;
        found.insert(oid, content.to_vec());
        rest = rest.get(end + size + 2..)?;
    }
    Some(found)
}

/// Whether a link leads out of the tree, by itself or by way of another, and
/// one of those is changed.
fn leads_out(link: &[u8], links: &Links, changed: &HashSet<Vec<u8>>) -> bool {
    let parts = |path: &[u8]| path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
    let mut place: Vec<Vec<u8>> = parts(link);
    place.pop();
    let Some(target) = links.get(link) else { return false };
    let mut any_changed = changed.contains(link);
    let mut followed = 1;
    // The parts that are still to go, the last one first.
    let mut ahead: Vec<Vec<u8>> = Vec::new();
    let mut target = Some(target);
    loop {
        if let Some(target) = target.take() {
            if target.first() == Some(&b'/') {
                return any_changed;
            }
            let next: Vec<Vec<u8>> = parts(target);
            ahead.extend(next.into_iter().rev());
        }
        match ahead.pop().as_deref() {
            None => return false,
            Some(b"" | b".") => {}
            Some(b"..") => {
                if place.pop().is_none() {
                    return any_changed;
                }
            }
            Some(name) => {
                place.push(name.to_vec());
                let here = place.join(&b'/');
                if let Some(next) = links.get(&here) {
                    place.pop();
                    any_changed |= changed.contains(&here);
                    followed += 1;
                    if followed > MOST_FOLLOWED {
                        // Nobody gets anywhere by it.
                        return false;
                    }
                    target = Some(next);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(link: &str, links: &[(&str, &str)], changed: &[&str]) -> bool {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let links = links.iter().map(|(at, to)| (bytes(at), bytes(to))).collect();
        let changed = changed.iter().map(|link| bytes(link)).collect();
        leads_out(link.as_bytes(), &links, &changed)
    }

    #[test]
    fn by_its_letters() {
        for (target, leads) in [
            ("/etc/passwd", true),
            ("..", true),
            ("b", false),
            ("../a", true),
            ("b/../../c", true),
            ("b/../c", false),
            ("./b//c/.", false),
            ("", false),
        ] {
            assert_eq!(out("l", &[("l", target)], &["l"]), leads, "{target:?}");
        }
        assert!(!out("a/b/l", &[("a/b/l", "../../c")], &["a/b/l"]));
        assert!(out("a/b/l", &[("a/b/l", "../../../c")], &["a/b/l"]));
    }

    #[test]
    fn by_way_of_others() {
        let links = [("a/b/up", "../.."), ("x", "a/b/up/.."), ("loop", "loop/..")];
        assert!(!out("a/b/up", &links, &["a/b/up"]));
        assert!(out("x", &links, &["x"]));
        assert!(out("x", &links, &["a/b/up"]), "the way has changed");
        assert!(!out("x", &links, &[]), "it did so before");
        assert!(!out("loop", &links, &["loop"]));
    }

    #[test]
    fn contents_may_look_like_anything() {
        let found = read_batch(b"aa blob 3\na\nb\nbb blob 0\n\n").unwrap();
        assert_eq!(found["aa"], b"a\nb");
        assert_eq!(found["bb"], b"");
        assert!(read_batch(b"aa missing\n").is_none());
    }
}
