//! The measurements: wall time of git, processor time of the proxy, peak memory of lockgate.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lockgate_testkit::{Git, Repo};

use crate::subjects::{SUBJECTS, Subject, Subjects};

/// The repository that is cloned.
const CLONED: &str = "cloned.git";

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Clone,
    Push,
    Bulk,
}

/// One run of one work through one subject.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) work: Work,
    pub(crate) subject: Subject,
    pub(crate) wall: Duration,
    pub(crate) processor: Duration,
}

/// The bench: what stands ready, and what was measured so far.
pub(crate) struct Bench {
    subjects: Subjects,
    git: Git,
    history: PathBuf,
    cloned: Repo,
    pub(crate) samples: Vec<Sample>,
    /// Of lockgate, freshly started, after the big push.
    pub(crate) peak_memory: u64,
}

impl Bench {
    pub(crate) fn start(lockgate: &Path, history: &Path) -> Result<Self> {
        let subjects = Subjects::start(lockgate)?;
        let git = Git::new()?.bearer(&subjects.token()?);
        let cloned = subjects.server.copy(CLONED, history)?;
        Ok(Self { subjects, git, history: history.into(), cloned, samples: Vec::new(), peak_memory: 0 })
    }

    /// Clones and pushes once through each, beginning with another one each time.
    pub(crate) fn round(&mut self, round: usize) -> Result<()> {
        for place in 0..SUBJECTS.len() {
            let subject = SUBJECTS[(round + place) % SUBJECTS.len()];
            self.clone(subject)?;
            let history = self.history.clone();
            self.push(Work::Push, subject, &history)?;
        }
        Ok(())
    }

    /// Pushes a big repository once through each, and then looks at lockgate's memory.
    pub(crate) fn bulk(&mut self, bulk: &Path) -> Result<()> {
        self.subjects.lockgate.stop()?;
        self.subjects.lockgate.start()?;
        for subject in SUBJECTS {
            self.push(Work::Bulk, subject, bulk)?;
        }
        self.peak_memory = self.subjects.lockgate.peak_memory()?;
        Ok(())
    }

    fn clone(&mut self, subject: Subject) -> Result<()> {
        let target = tempfile::tempdir_in(self.git.home())?;
        let url = self.subjects.url(subject, CLONED);
        self.measure(Work::Clone, subject, target.path(), &["clone", "--quiet", "--bare", &url, "."])?;
        let head = self.git.ok(target.path(), &["rev-parse", "refs/heads/main"])?.stdout;
        ensure!(
            self.cloned.rev("main")?.as_deref() == Some(head.trim_end()),
            "the clone is another repository"
        );
        Ok(())
    }

    fn push(&mut self, work: Work, subject: Subject, source: &Path) -> Result<()> {
        let name = format!("pushed-{}.git", self.samples.len());
        let target = self.subjects.server.create(&name)?;
        let url = self.subjects.url(subject, &name);
        self.measure(work, subject, source, &["push", "--quiet", &url, "refs/heads/main"])?;
        let head = self.git.ok(source, &["rev-parse", "refs/heads/main"])?.stdout;
        ensure!(target.rev("main")?.as_deref() == Some(head.trim_end()), "something else was pushed");
        std::fs::remove_dir_all(target.path())?;
        Ok(())
    }

    fn measure(&mut self, work: Work, subject: Subject, folder: &Path, args: &[&str]) -> Result<()> {
        let processor = self.subjects.processor_time(subject)?;
        let start = Instant::now();
        self.git.ok(folder, args)?;
        let wall = start.elapsed();
        let processor = self.subjects.processor_time(subject)?.saturating_sub(processor);
        self.samples.push(Sample { work, subject, wall, processor });
        Ok(())
    }
}
