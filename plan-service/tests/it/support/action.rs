//! Actions of a test: shell scripts, given as arguments to a shell.

use std::collections::HashMap;

use proto::plan::v1 as wire;

/// An action in the making.
#[derive(Debug, Clone, Default)]
pub(crate) struct Template(wire::Action);

/// A command that is a shell script.
pub(crate) fn sh(name: &str, script: &str) -> wire::StepTemplate {
    wire::StepTemplate {
        name: name.to_owned(),
        argv: ["sh", "-euc", script].map(str::to_owned).to_vec(),
        ..Default::default()
    }
}

impl Template {
    pub(crate) fn new(name: &str) -> Self {
        Self(wire::Action { name: name.to_owned(), ..Default::default() })
    }

    pub(crate) fn step(mut self, step: wire::StepTemplate) -> Self {
        self.0.steps.push(step);
        self
    }

    pub(crate) fn check(mut self, check: wire::StepTemplate) -> Self {
        self.0.checks.push(check);
        self
    }

    /// Gives a variable to every step and check.
    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        let value = value.into();
        let all: HashMap<_, _> = [(name.to_owned(), value)].into();
        for step in self.0.steps.iter_mut().chain(&mut self.0.checks) {
            step.env.extend(all.clone());
        }
        self
    }

    pub(crate) fn action(self) -> wire::Action {
        self.0
    }
}
