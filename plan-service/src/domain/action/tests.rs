//! What a template may be, in files and in requests.

use super::*;

fn draft(toml: &str) -> Result<ActionTemplate, Vec<Violation>> {
    toml::from_str::<ActionDraft>(toml).unwrap().check()
}

#[test]
fn a_file_becomes_a_template() {
    let template = draft(
        r#"
        name = "edit/rename"
        description = "renames a word"
        [[parameters]]
        name = "from"
        [[parameters]]
        name = "count"
        type = "integer"
        default = "3"
        [[steps]]
        name = "sed"
        argv = ["sed", "-i", "s/{{from}}/x/{{count}}", "a.txt"]
        time_limit = "90s"
        group = "all"
        [[checks]]
        name = "build"
        argv = ["make"]
        env = { V = "{{count}}" }
        "#,
    )
    .unwrap();
    assert_eq!(template.parameters[1].r#type, ParameterType::Integer);
    assert_eq!(template.steps[0].time_limit, Duration::from_secs(90));
    assert_eq!(template.checks[0].time_limit, DEFAULT_TIME_LIMIT);
}

#[test]
fn numbers_and_booleans_of_a_file_are_taken_as_their_text() {
    let template = draft(
        r#"
        name = "edit/rename"
        [[parameters]]
        name = "count"
        type = "integer"
        default = 3
        [[parameters]]
        name = "on"
        type = "boolean"
        default = true
        [[parameters]]
        name = "level"
        type = "choice"
        choices = [0, 1, "max"]
        default = 1
        [[steps]]
        name = "sed"
        argv = ["sed"]
        env = { A = -1, B = false, C = "{{count}}" }
        "#,
    )
    .unwrap();
    let defaults: Vec<_> =
        template.parameters.iter().map(|one| one.default.as_deref().unwrap()).collect();
    assert_eq!(defaults, ["3", "true", "1"]);
    assert_eq!(template.parameters[2].choices, ["0", "1", "max"]);
    let values: Vec<_> = template.steps[0].env.values().map(String::as_str).collect();
    assert_eq!(values, ["-1", "false", "{{count}}"]);
    for wrong in ["default = 1.5", "default = [1]", "default = 2026-01-01"] {
        let text = format!("name = 'a/b'\n[[parameters]]\nname = 'p'\n{wrong}\n");
        let error = toml::from_str::<ActionDraft>(&text).unwrap_err();
        assert!(error.message().contains("text, a whole number, true or false"), "{error}");
    }
}

#[test]
fn a_time_limit_without_its_unit_is_told_how_to_write_it() {
    let text = "name = 'a/b'\n[[steps]]\nname = 's'\nargv = ['x']\ntime_limit = 90\n";
    let error = toml::from_str::<ActionDraft>(text).unwrap_err();
    assert!(error.message().contains("text with a unit, such as \"90s\""), "{error}");
}

#[test]
fn variables_that_are_the_services_or_none_are_refused() {
    let check = |name: &str| {
        let step = StepDraft {
            name: "s".to_owned(),
            argv: vec!["x".to_owned()],
            env: BTreeMap::from([(name.to_owned(), String::new())]),
            ..StepDraft::default()
        };
        let draft =
            ActionDraft { name: "a/b".to_owned(), steps: vec![step], ..ActionDraft::default() };
        draft.check().map_err(|mut wrong| (wrong.len(), wrong.remove(0)))
    };
    for (name, word) in [
        ("PLAN_ID", "PLAN_"),
        ("LOCK_FENCING_TOKEN", "LOCK_"),
        ("GIT_DIR", "GIT_"),
        ("", "empty"),
        ("A=B", "'='"),
        ("A B", "blank"),
        ("X\nY", "control character"),
        ("X\0", "control character"),
    ] {
        let (count, wrong) = check(name).unwrap_err();
        assert_eq!((count, wrong.field), (1, format!("steps[0].env[{name:?}]")));
        assert!(wrong.description.contains(word), "{}", wrong.description);
    }
    for right in ["PLAN", "plan_id", "MY_PLAN_ID", "GITHUB_TOKEN", "LOCKFILE", "é", "_"] {
        assert!(check(right).is_ok(), "{right}");
    }
}

#[test]
fn choices_are_values_and_each_is_there_once() {
    let long = "x".repeat(4_097);
    let choices = ["a", "a", "", "x\u{7}y", &long].map(str::to_owned).to_vec();
    let parameter = ParameterDraft {
        name: "p".to_owned(),
        r#type: Some(ParameterType::Choice),
        choices,
        ..ParameterDraft::default()
    };
    let step =
        StepDraft { name: "s".to_owned(), argv: vec!["x".to_owned()], ..StepDraft::default() };
    let draft = ActionDraft {
        name: "a/b".to_owned(),
        parameters: vec![parameter],
        steps: vec![step],
        ..ActionDraft::default()
    };
    let wrong = draft.check().unwrap_err();
    let told: Vec<_> =
        wrong.iter().map(|one| (one.field.as_str(), one.description.as_str())).collect();
    assert_eq!(
        told,
        [
            ("parameters[0].choices[1]", "\"a\" is there twice"),
            ("parameters[0].choices[3]", "holds a control character"),
            ("parameters[0].choices[4]", "has 4097 bytes; at most 4096 are right"),
        ]
    );
}

#[test]
fn an_argument_that_no_program_can_be_given_is_refused() {
    let check = |text: String, value: String| {
        let step = StepDraft {
            name: "s".to_owned(),
            argv: vec!["echo".to_owned(), text],
            env: BTreeMap::from([("ABC".to_owned(), value)]),
            ..StepDraft::default()
        };
        let draft =
            ActionDraft { name: "a/b".to_owned(), steps: vec![step], ..ActionDraft::default() };
        let wrong = draft.check().err().unwrap_or_default();
        wrong.into_iter().map(|one| one.field).collect::<Vec<_>>()
    };
    assert!(check("x".repeat(131_071), "x".repeat(131_067)).is_empty());
    let wrong = check("x".repeat(131_072), "x".repeat(131_068));
    assert_eq!(wrong, ["steps[0].argv[1]", "steps[0].env[\"ABC\"]"]);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let wrong = draft(
        r#"
        name = "rename"
        [[parameters]]
        name = "from-here"
        [[parameters]]
        name = "n"
        type = "integer"
        default = "many"
        [[parameters]]
        name = "n"
        type = "choice"
        [[steps]]
        name = "../x"
        argv = []
        [[steps]]
        name = "a"
        argv = ["echo", "{{nobody}}", "{{ nor_this }}"]
        time_limit = "2d"
        env = { "A=B" = "" }
        [[checks]]
        name = "a"
        argv = [""]
        group = "g"
        "#,
    )
    .unwrap_err();
    let fields: Vec<_> = wrong.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "name",
            "parameters[0].name",
            "parameters[1].default_value",
            "parameters[2].name",
            "parameters[2].choices",
            "steps[0].name",
            "steps[0].argv",
            "steps[1].argv[1]",
            "steps[1].argv[2]",
            "steps[1].env[\"A=B\"]",
            "steps[1].time_limit",
            "checks[0].argv[0]",
            "checks[0].group",
        ]
    );
}
