//! A stream as a recording of a terminal, which `asciinema play` plays.

use std::{
    fs::File,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use lockgate_k8s::stream::transcript::{Asciicast, Asked, Moment, Subresource};
use lockgate_recording::What;

use super::{
    super::{super::Exit, stream},
    follow::Source,
};
use crate::output;

/// Where it is written to.
enum Out {
    Stdout,
    File(File, PathBuf),
}

/// Writes what a source has; to stdout where the file is `-`.
pub(super) async fn write(mut source: Source, file: &Path) -> Result<Exit> {
    let (mut reading, mut out, mut started) = (stream::Reading::default(), None, None);
    let mut cast: Option<Asciicast> = None;
    let mut lines = String::new();
    while let Some(recorded) = source.next().await? {
        if let What::Opened(opened) = &recorded.what {
            started = u64::try_from(opened.started_micros / 1_000_000).ok();
        }
        // A stream is known before its first byte.
        let tell = &mut |moment: Moment<'_>| {
            if let Some(cast) = &mut cast {
                cast.push(moment, &mut lines);
            }
        };
        reading.take(&recorded, tell);
        if cast.is_none()
            && let Some((asked, _)) = reading.stream()
        {
            let mut new = Asciicast::new(started, &title(asked)?);
            if !asked.tty {
                new.begin_without_size(&mut lines);
            }
            cast = Some(new);
            out = Some(Out::open(file)?);
        }
        if let Some(out) = &mut out {
            out.take(&mut lines)?;
        }
    }
    for problem in reading.problems() {
        output::warn(&problem);
    }
    let (Some(cast), Some(mut out)) = (cast, out) else {
        bail!("the exchange is no exec or attach that can be read: there is no terminal to play");
    };
    cast.finish(&mut lines);
    out.take(&mut lines)?;
    if !source.is_complete() {
        output::warn("the recording has no end: the exchange is under way, or was cut off");
    }
    Ok(if source.is_complete() && reading.problems().is_empty() { Exit::Ok } else { Exit::Problem })
}

/// What a player calls it.
fn title(asked: &Asked) -> Result<String> {
    match asked.subresource {
        Subresource::Exec => Ok(asked.command.join(" ")),
        Subresource::Attach => Ok("attach".into()),
        Subresource::PortForward => {
            bail!(
                "the exchange is a port-forward: there is no terminal to play. `replay` alone tells its bytes"
            )
        }
    }
}

impl Out {
    /// A new file that only its owner may read.
    fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        let file = File::options().write(true).create_new(true).mode(0o600).open(path);
        let file = file.with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self::File(file, path.to_owned()))
    }

    /// Writes the lines that there are.
    fn take(&mut self, lines: &mut String) -> Result<()> {
        let lines = std::mem::take(lines);
        match self {
            Self::Stdout => {
                output::bytes(lines.as_bytes());
                Ok(())
            }
            Self::File(file, path) => {
                file.write_all(lines.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
            }
        }
    }
}
