Feature: Bad input is refused, or handled, and the plan service lives on
  A refusal names every field that is wrong, all at once, and says what would
  be right.

  Background:
    Given a lock server
    And a plan service
    And a project shop
    And the action demo/edit
      | step | edit | echo more >> one.txt |

  # === what is not there ===

  Scenario Outline: What nobody knows
    When <call> is asked for with
      | <field> | <value> |
    Then the call is refused with <reason>
    And the refusal tells
      | <key> | <value> |
    And the plan service goes on

    Examples:
      | call           | field   | value                                | reason            | key     |
      | GetProject     | name    | depot                                | PROJECT_NOT_FOUND | project |
      | GetAction      | name    | demo/none                            | ACTION_NOT_FOUND  | action  |
      | GetPlan        | plan_id | 019378f2-5a00-7000-8000-000000000000 | PLAN_NOT_FOUND    | plan_id |
      | ExecutePlan    | plan_id | 019378f2-5a00-7000-8000-000000000000 | PLAN_NOT_FOUND    | plan_id |
      | ApplyPlan      | plan_id | 019378f2-5a00-7000-8000-000000000000 | PLAN_NOT_FOUND    | plan_id |
      | RevertPlan     | plan_id | 019378f2-5a00-7000-8000-000000000000 | PLAN_NOT_FOUND    | plan_id |
      | RetryPlan      | plan_id | 019378f2-5a00-7000-8000-000000000000 | PLAN_NOT_FOUND    | plan_id |
      | CancelPlan     | plan_id | 019378f2-5a00-7000-8000-000000000000 | PLAN_NOT_FOUND    | plan_id |
      | WatchPlan      | plan_id | 019378f2-5a00-7000-8000-000000000000 | PLAN_NOT_FOUND    | plan_id |
      | GetDiff        | plan_id | 019378f2-5a00-7000-8000-000000000000 | PLAN_NOT_FOUND    | plan_id |
      | ListChangesets | plan_id | 019378f2-5a00-7000-8000-000000000000 | PLAN_NOT_FOUND    | plan_id |
      | GetDiagnostics | plan_id | 019378f2-5a00-7000-8000-000000000000 | PLAN_NOT_FOUND    | plan_id |
      | UseAction      | action  | demo/none                            | ACTION_NOT_FOUND  | action  |
      | UseAction      | project | depot                                | PROJECT_NOT_FOUND | project |

  Scenario Outline: An id is no path: <call>
    When <call> is asked for with
      | <field> | <value> |
    Then the call is refused with INVALID_REQUEST
    And the refusal names exactly the fields "<field>"
    And the plan service goes on

    Examples:
      | call            | field   | value                                |
      | GetProject      | name    | ../shop                              |
      | GetProject      | name    | (empty)                              |
      | GetAction       | name    | ../../etc/passwd                     |
      | GetAction       | name    | edit                                 |
      | GetPlan         | plan_id | ../019378f2-5a00-7000-8000-000000000000 |
      | GetPlan         | plan_id | 019378F2-5A00-7000-8000-000000000000 |
      | ExecutePlan     | plan_id | ../../main                           |
      | ExecutePlan     | plan_id | (empty)                              |
      | ApplyPlan       | plan_id | a[U+0000]b                           |
      | RevertPlan      | plan_id | plan                                 |
      | RetryPlan       | plan_id | ..                                   |
      | CancelPlan      | plan_id | /                                    |
      | WatchPlan       | plan_id | ../x                                 |
      | GetDiff         | plan_id | ../x                                 |
      | ListChangesets  | plan_id | ../x                                 |
      | GetDiagnostics  | plan_id | ../x                                 |
      | UseAction       | project | ../shop                              |
      | UseAction       | action  | demo/../edit                         |
      | UseAction       | plan_id | ../../x                              |
      | RegisterProject | name    | ../shop                              |
      | RegisterProject | name    | Shop                                 |

  # === projects ===

  Scenario Outline: A folder that is no project: <what>
    When <what> is registered as depot
    Then the call is refused with INVALID_REQUEST
    And the refusal names exactly the fields "path"
    And the refusal describes it with "<hint>"
    And the project depot is not known

    Examples:
      | what                              | hint       |
      | a folder without git              | git        |
      | a bare repository                 | bare       |
      | a repository without a commit     | commit     |
      | a sub folder of shop              | top        |
      | the relative path "shop"          | absolute   |
      | a folder that is not there        | not        |
      | a file                            | folder     |
      | the .git folder of shop           | work tree  |
      | a repository with a branch plan   | git branch -m plan NEW-NAME |

  Scenario: A project's name is taken
    When a new repository is registered as shop
    Then the call is refused with PROJECT_EXISTS
    And the refusal tells
      | project | shop |

  Scenario: A folder has one name
    When the folder of shop is registered as depot
    Then the call is refused with PROJECT_EXISTS
    And the refusal tells
      | project | shop |

  Scenario: A folder has one name, by whichever path
    When a link to the folder of shop is registered as depot
    Then the call is refused with PROJECT_EXISTS
    And the refusal tells
      | project | shop |

  Scenario Outline: A project that disappears, before the plan is <move>
    Given a plan that is <phase> <state>
    When shop's folder disappears
    And the plan is <move>
    Then it fails because of PROJECT_UNUSABLE
    And the plan service goes on
    When shop's folder is back
    Then the plan can be taken to APPLY APPLIED

    Examples:
      | phase      | state    | move     |
      | STRATEGIZE | COMPLETE | executed |
      | STRATEGIZE | COMPLETE | reverted |
      | EXECUTE    | COMPLETE | applied  |

  Scenario: A plan of a project that has disappeared
    When shop's folder disappears
    And demo/edit is used on shop
    Then it fails because of PROJECT_UNUSABLE
    When shop's folder is back
    And the plan is retried
    Then the plan becomes STRATEGIZE COMPLETE

  Scenario: A plan of a project that has disappeared can be cancelled
    Given a plan that is EXECUTE COMPLETE
    When shop's folder disappears
    And the plan is cancelled because "the project is gone"
    Then the plan becomes EXECUTE CANCELLED
    When shop's folder is back

  Scenario: A branch in the way of those of plans
    When someone checks the new branch plan out in shop
    And demo/edit is used on shop
    Then it fails because of PROJECT_UNUSABLE
    And the problem says "rename it (git branch -m plan NEW-NAME)"
    When someone renames the branch plan of shop to planned
    And the plan is retried
    Then the plan becomes STRATEGIZE COMPLETE
    And the plan can be taken to APPLY APPLIED
    When someone checks the new branch plan out in shop
    Then the diff tells of MODIFIED one.txt

  # === actions ===

  Scenario: An action name twice
    When the action demo/edit is created again with other steps
    Then the call is refused with ACTION_EXISTS
    And the refusal tells
      | action | demo/edit |
    And demo/edit is as it was

  Scenario: Everything that is wrong with an action is named at once
    When the action is created
      """
      name = "Demo"
      description = "x"

      [[parameters]]
      name = "from-here"

      [[parameters]]
      name = "count"
      type = "integer"
      default = "many"

      [[parameters]]
      name = "count"
      type = "choice"

      [[steps]]
      name = "../x"
      argv = []

      [[steps]]
      name = "same"
      argv = ["echo", "{{nobody}}", "{{ nor_this }}"]
      time_limit = "2d"
      env = { "A=B" = "" }

      [[steps]]
      name = "same"
      argv = [""]
      group = "Big"

      [[checks]]
      name = "ok"
      argv = ["true"]
      group = "g"
      """
    Then the call is refused with INVALID_REQUEST
    And the refusal names exactly the fields
      | action.name                        |
      | action.parameters[0].name          |
      | action.parameters[1].default_value |
      | action.parameters[2].name          |
      | action.parameters[2].choices       |
      | action.steps[0].name               |
      | action.steps[0].argv               |
      | action.steps[1].argv[1]            |
      | action.steps[1].argv[2]            |
      | action.steps[1].env["A=B"]         |
      | action.steps[1].time_limit         |
      | action.steps[2].name               |
      | action.steps[2].argv[0]            |
      | action.steps[2].group              |
      | action.checks[0].group             |
    And the plan service goes on

  Scenario: Variables that are the service's own, or none at all
    When the action is created
      """
      name = "demo/env"

      [[steps]]
      name = "show"
      argv = ["env"]
      env = { PLAN_ID = "fake", LOCK_FENCING_TOKEN = 1, GIT_DIR = "/x", "A B" = "", "" = "", PLANS = "", GITHUB = "" }
      """
    Then the call is refused with INVALID_REQUEST
    And the refusal names exactly the fields
      | action.steps[0].env["PLAN_ID"]            |
      | action.steps[0].env["LOCK_FENCING_TOKEN"] |
      | action.steps[0].env["GIT_DIR"]            |
      | action.steps[0].env["A B"]                |
      | action.steps[0].env[""]                   |

  Scenario: Choices that nobody could choose
    When the action is created
      """
      name = "demo/choices"

      [[parameters]]
      name = "colour"
      type = "choice"
      choices = ["red", "blue", "red", "gr\u0007een", 7, ""]

      [[steps]]
      name = "show"
      argv = ["echo", "{{colour}}"]
      """
    Then the call is refused with INVALID_REQUEST
    And the refusal names exactly the fields
      | action.parameters[0].choices[2] |
      | action.parameters[0].choices[3] |

  Scenario: An action without steps
    When the action is created
      """
      name = "demo/nothing"
      """
    Then the call is refused with INVALID_REQUEST
    And the refusal names exactly the fields "action.steps"

  Scenario: No action at all
    When CreateAction is asked for with
      | action | (missing) |
    Then the call is refused with INVALID_REQUEST
    And the refusal names exactly the fields "action"

  Scenario: An action of a thousand steps, and of one more
    When an action of 1000 steps is created
    Then the call succeeds
    When an action of 1001 steps is created
    Then the call is refused with INVALID_REQUEST
    And the refusal names exactly the fields "action.steps"

  # === arguments ===

  Scenario: Every argument that is wrong is named
    Given the action
      """
      name = "demo/typed"

      [[parameters]]
      name = "text"

      [[parameters]]
      name = "count"
      type = "integer"

      [[parameters]]
      name = "on"
      type = "boolean"

      [[parameters]]
      name = "colour"
      type = "choice"
      choices = ["red", "blue"]

      [[parameters]]
      name = "place"
      type = "path"

      [[steps]]
      name = "show"
      argv = ["echo", "{{text}}", "{{count}}", "{{on}}", "{{colour}}", "{{place}}"]
      """
    When demo/typed is used on shop with
      | count  | 1.5    |
      | on     | yes    |
      | colour | green  |
      | place  | ../etc |
      | nobody | 1      |
    Then the call is refused with INVALID_REQUEST
    And the refusal names exactly the fields
      | arguments["text"]   |
      | arguments["count"]  |
      | arguments["on"]     |
      | arguments["colour"] |
      | arguments["place"]  |
      | arguments["nobody"] |
    And there are no plans

  Scenario Outline: A text that is no text: <what>
    Given the action demo/says
      | param | text | string            |
      | step  | says | echo '{{text}}'   |
    When demo/says is used on shop with
      | text | <text> |
    Then the call is refused with INVALID_REQUEST
    And the refusal names exactly the fields "arguments["text"]"
    And the refusal takes less than 8 KiB on the wire

    Examples:
      | what               | text          |
      | too long           | 4097 × a      |
      | a NUL              | a[U+0000]b    |
      | a line break       | a[U+000A]b    |
      | an escape sequence | [U+001B][31m  |

  Scenario Outline: A command that could not be run: <what>
    Given the action
      """
      name = "demo/runs"

      [[parameters]]
      name = "program"
      default = ""

      [[parameters]]
      name = "text"
      default = ""

      [[steps]]
      name = "runs"
      argv = ["{{program}}", "<argument>"]
      """
    When demo/runs is used on shop with
      | program | <program> |
      | text    | <text>    |
    Then the call is refused with INVALID_REQUEST
    And the refusal names exactly the fields "arguments["<parameter>"]"
    And the refusal describes it with "step runs"
    And there are no plans

    Examples:
      | what                | program | argument | text     | parameter |
      | without a program   | (empty) | x        | x        | program   |
      | of a long argument  | echo    | {{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}}{{text}} | 4096 × a | text |

  # === other fields ===

  Scenario Outline: A wait that cannot be: <wait>
    Given a plan that is EXECUTE COMPLETE
    When the plan is asked to be applied with a project_wait of <wait>
    Then the call is refused with INVALID_REQUEST
    And the refusal names exactly the fields "project_wait"
    And the plan is EXECUTE COMPLETE
    And the lock of the plan is free

    Examples:
      | wait              |
      | -1 s              |
      | 1000000 s         |
      | 1 s and -1 nanos  |

  Scenario Outline: Pages and other bounds: <call>
    When <call> is asked for with
      | <field> | <value> |
    Then the call is refused with INVALID_REQUEST
    And the refusal names exactly the fields "<field>"

    Examples:
      | call         | field      | value   |
      | ListProjects | page_size  | -1      |
      | ListActions  | page_size  | -1      |
      | ListPlans    | page_size  | -1      |
      | ListProjects | page_token | nonsense |
      | ListActions  | page_token | nonsense |
      | ListPlans    | page_token | nonsense |
      | ListActions  | namespace  | ../x    |
      | ListPlans    | project    | ../x    |
      | ListPlans    | action     | x       |
      | ListPlans    | phase      | 99      |
      | ListPlans    | state      | 99      |
      | CancelPlan   | reason     | 513 × a |
      | GetDiff      | max_bytes  | -1      |

  # === rights ===

  Scenario: Actions that come from files
    Given a plan service whose actions come from files, with
      """
      name = "files/edit"

      [[steps]]
      name = "edit"
      argv = ["sh", "-c", "echo more >> one.txt"]
      """
    Then the action files/edit is known
    And the action demo/edit is not known
    When an action of 1 step is created
    Then the call is refused with ACTIONS_FROM_FILES
    And a plan of files/edit on shop can be made

  Scenario: The standard services
    Then the health of "plan.v1.PlanService" is SERVING
    And the health of "" is SERVING
    And reflection tells of "plan.v1.PlanService"
