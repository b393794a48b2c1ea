//! `lockgate detect`: finds or masks the secrets in files and in what comes by a pipe.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use lockgate_detect::{
    Finding, KnownValues, MaskOptions, Masker, RuleSet, ScanOptions, Scanner, TagKey, Wrapping,
};
use serde_json::{Value, json};

use super::Exit;
use crate::{cli::DetectArgs, config::read_text, output, output::say};

/// What is read at once.
const BLOCK: usize = 64 << 10;

/// The largest file of rules.
const RULES_MAX: u64 = 4 << 20;

pub(super) fn run(args: &DetectArgs) -> Result<Exit> {
    let looking = Looking::new(args)?;
    let (mut findings, mut exit) = (Vec::new(), Exit::Ok);
    for path in &args.files {
        match looking.at(path) {
            Ok(found) => findings.extend(found.into_iter().map(|finding| (name(path), finding))),
            // The others are looked at nevertheless; the status tells that one was not.
            Err(error) => {
                output::error(&error);
                exit = Exit::Unable;
            }
        }
    }
    if args.json {
        output::json(&findings.iter().map(|(file, finding)| value(file, finding)).collect::<Vec<_>>())?;
    } else {
        findings.iter().for_each(|(file, finding)| say!("{}", line(file, finding)));
    }
    Ok(if exit == Exit::Ok && !findings.is_empty() { Exit::Problem } else { exit })
}

/// By what files are looked at.
struct Looking {
    rules: RuleSet,
    key: TagKey,
    mask: bool,
}

impl Looking {
    fn new(args: &DetectArgs) -> Result<Self> {
        let rules = match &args.rules {
            Some(path) => RuleSet::load(&read_text(path, RULES_MAX)?)
                .with_context(|| format!("{} has no rules that can be used", path.display()))?,
            None => RuleSet::builtin(),
        };
        // Tags tell within one run which findings are equal, and nothing to anybody after it.
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key).context("the system gives no random bytes")?;
        Ok(Self { rules, key: TagKey::new(&key), mask: args.mask })
    }

    /// What is found in a file; nothing where it is masked.
    fn at(&self, path: &Path) -> Result<Vec<Finding>> {
        let context = || format!("cannot read {}", name(path));
        if path == Path::new("-") {
            return self.read(io::stdin().lock()).with_context(context);
        }
        let file = File::open(path).with_context(context)?;
        if file.metadata().with_context(context)?.is_dir() {
            let shown = path.display();
            bail!("{shown} is a directory; try: find {shown} -type f -exec lockgate detect {{}} +");
        }
        self.read(file).with_context(context)
    }

    fn read(&self, source: impl Read) -> io::Result<Vec<Finding>> {
        if self.mask { self.masked(source).map(|()| Vec::new()) } else { self.scan(source) }
    }

    fn scan(&self, source: impl Read) -> io::Result<Vec<Finding>> {
        let mut scanner = Scanner::new(&self.rules, &KnownValues::new(), &self.key, ScanOptions::default());
        blocks(source, |block| scanner.push(block))?;
        scanner.finish();
        Ok(scanner.drain_findings())
    }

    fn masked(&self, source: impl Read) -> io::Result<()> {
        let options = MaskOptions { findings: 0, ..MaskOptions::default() };
        let mut masker = Masker::new(&self.rules, &KnownValues::new(), &self.key, options);
        let mut shown = Vec::new();
        let read = blocks(source, |block| {
            masker.push(block, &mut shown);
            // Whoever watches the other end sees a line when it is there.
            masker.flush(&mut shown);
            output::bytes(&shown);
            shown.clear();
        });
        masker.finish(&mut shown);
        output::bytes(&shown);
        read
    }
}

fn blocks(mut source: impl Read, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        match source.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(count) => take(&block[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn name(path: &Path) -> String {
    if path == Path::new("-") { "standard input".into() } else { path.display().to_string() }
}

fn line(file: &str, finding: &Finding) -> String {
    let place = match within(finding) {
        Some(wrapping) => format!("byte {}, within {wrapping}", finding.offset),
        None => format!("line {}, byte {}", finding.line, finding.offset),
    };
    let tag = finding.tag.map(|tag| format!(", tag {tag}")).unwrap_or_default();
    let file = output::plain(file);
    format!("{file}: {place}: {} of {} bytes{tag}", finding.rule, finding.length)
}

fn value(file: &str, finding: &Finding) -> Value {
    json!({
        "file": file, "rule": *finding.rule, "offset": finding.offset, "length": finding.length,
        "line": (finding.line > 0).then_some(finding.line), "within": within(finding),
        "tag": finding.tag.map(|tag| tag.to_string()),
        "entropy": (f64::from(finding.entropy) * 100.0).round() / 100.0,
    })
}

fn within(finding: &Finding) -> Option<&'static str> {
    finding.within.map(|wrapping| match wrapping {
        Wrapping::Base64 => "base64",
        Wrapping::Gzip => "gzip",
        Wrapping::Percent => "percent-encoding",
    })
}
