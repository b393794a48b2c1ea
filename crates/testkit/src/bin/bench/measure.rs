//! The measurements: wall time of git, processor time of the proxy, peak memory of lockgate.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lockgate_testkit::{Git, Repo};

use crate::figures::in_turn;
use crate::subjects::{SUBJECTS, Subject, Subjects};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Of a history with so many objects.
    Clone(u32),
    /// Of the same, into an empty repository.
    Push(u32),
    /// Of so many megabytes that can't be compressed.
    Bulk(u32),
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
    pub(crate) samples: Vec<Sample>,
    /// The most memory that each had used after the big push, freshly started before it, in bytes.
    pub(crate) peak_memory: Vec<(Subject, u64)>,
}

impl Bench {
    pub(crate) fn start(lockgate: &Path) -> Result<Self> {
        let subjects = Subjects::start(lockgate)?;
        let git = Git::new()?.bearer(&subjects.token()?);
        Ok(Self { subjects, git, samples: Vec::new(), peak_memory: Vec::new() })
    }

    /// Clones and pushes a history so many times through each, beginning with another one each time.
    pub(crate) fn history(&mut self, objects: u32, history: &Path, rounds: usize) -> Result<()> {
        let cloned = self.subjects.server.copy(&format!("cloned-{objects}.git"), history)?;
        for round in 0..rounds {
            println!("{objects} objects, round {} of {rounds}", round + 1);
            for subject in in_turn(&SUBJECTS, round) {
                // What pushes bring is of no concern to clones.
                if !matches!(subject, Subject::Inspecting | Subject::Early) {
                    self.clone(objects, subject, &cloned)?;
                }
                self.push(Work::Push(objects), subject, history)?;
            }
        }
        Ok(())
    }

    /// Pushes a big repository once through each, and then looks at their memory.
    pub(crate) fn bulk(&mut self, megabytes: u32, bulk: &Path) -> Result<()> {
        println!("a push of {megabytes} MB through each");
        self.subjects.restart()?;
        for subject in SUBJECTS {
            self.push(Work::Bulk(megabytes), subject, bulk)?;
            self.peak_memory.push((subject, self.subjects.peak_memory(subject)?));
        }
        Ok(())
    }

    fn clone(&mut self, objects: u32, subject: Subject, cloned: &Repo) -> Result<()> {
        let target = tempfile::tempdir_in(self.git.home())?;
        let url = self.subjects.url(subject, &format!("cloned-{objects}.git"));
        let command = ["clone", "--quiet", "--bare", &url, "."];
        self.measure(Work::Clone(objects), subject, target.path(), &command)?;
        let head = self.git.ok(target.path(), &["rev-parse", "refs/heads/main"])?.stdout;
        ensure!(cloned.rev("main")?.as_deref() == Some(head.trim_end()), "the clone is another repository");
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
