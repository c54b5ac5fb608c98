Feature: What the plan service keeps cannot race
  Two defects of an earlier planner would show here if they came back: maps in
  memory that nobody locked, and changes that went into "the most recent"
  changeset.

  Background:
    Given a lock server

  Scenario Outline: Of a hundred who create one action at the same moment one succeeds, <where>
    Given <services>
    When 100 create the action demo/edit at the same moment
    Then exactly 1 of them succeeds
    And the other 99 are refused with ACTION_EXISTS
    And there is 1 action

    Examples:
      | where            | services                         |
      | at one instance  | a plan service                   |
      | at two instances | two plan services, East and West |

    @sqlite
    Examples:
      | where            | services                         |
      | in memory        | a plan service in memory         |

  @serial
  Scenario Outline: A thousand creates and uses lose nothing, <where>
    Given <services>
    And a project shop
    When 900 actions are created at the same moment, and of every 9th a plan is made as it comes
    Then there are 900 actions, each once
    And there are 100 plans, each STRATEGIZE COMPLETE, with the arguments that they were given

    Examples:
      | where            | services                                                       |
      | at one instance  | a plan service with "--store-timeout 60s"                      |
      | at two instances | two plan services, East and West, with "--store-timeout 60s"   |

    @sqlite
    Examples:
      | where            | services                                                       |
      | in memory        | a plan service in memory, with "--store-timeout 60s"           |

  Scenario Outline: Readers never see half a plan, <where>
    Given <services>
    And a project shop
    And the action demo/steps
      | step | first  | echo 1 > 1.txt; echo said |
      | step | second | echo 2 > 2.txt            |
      | step | third  | echo 3 > 3.txt            |
    When 8 readers look at all plans again and again
    And 6 plans of demo/steps on shop are executed, and one after the other applied
    Then every plan that a reader saw was whole

    Examples:
      | where            | services                         |
      | at two instances | two plan services, East and West |

    @sqlite
    Examples:
      | where            | services                         |
      | in memory        | a plan service in memory         |

  @serial
  Scenario: Fifty steps beside each other, two hundred changes each
    Given a plan service with "--max-parallel-steps 50"
    And a project shop
    And the action demo/many with 50 steps in one group, each of which writes 200 files of its own
    And a plan of demo/many on shop
    When the plan is executed
    Then the plan becomes EXECUTE COMPLETE within 120 s
    And there are 50 changesets, in the order of the steps
    And each of them holds the 200 files of its own step, in order, and no others
    And the plan's branch has 50 commits, in the order of the steps

  Scenario: Steps that failed leave no changeset, and their neighbours' are whole
    Given a plan service
    And a project shop
    And the action demo/half
      | step | good  | echo good > good.txt                       | group=all |
      | step | bad   | echo bad > bad.txt; test -e "$OUT/repaired" | group=all |
      | step | other | echo other > other.txt                     | group=all |
    And a plan of demo/half on shop
    When the plan is executed
    Then the plan becomes EXECUTE ERRORED by STEP_FAILED in bad
    And the changesets are
      | good  | ADDED good.txt  |
      | other | ADDED other.txt |
    When "repaired" is given
    And the plan is retried
    Then the plan becomes EXECUTE COMPLETE
    And the changesets of "good, bad, other" hold exactly their own files

  Scenario: A plan is made once under its id
    Given two plan services, East and West
    And a project shop
    And the action demo/edit
      | step | edit | echo more >> one.txt |
    When 10 use demo/edit on shop for one plan id at the same moment, at both
    Then exactly 1 of them succeeds
    And the others are refused with PLAN_EXISTS or LOCK_CONFLICT

  Scenario: What one instance knows the other knows
    Given two plan services, East and West
    And callers turn to East
    And a project shop
    And the action demo/edit
      | step | edit | echo more >> one.txt |
    When callers turn to West
    Then the project shop is known
    And the action demo/edit is known
    And a plan of demo/edit on shop can be made
    When callers turn to East
    Then the plan is STRATEGIZE COMPLETE

  Scenario: Lists come in pages
    Given a plan service
    And a project shop
    And the actions a/one, a/two, b/one
    Then the actions, 2 to a page, are "a/one a/two" and "b/one"
    And the actions of the namespace a are "a/one a/two"
    Given plan A of a/one on shop
    And plan B of a/two on shop
    And plan C of a/one on shop, executed
    Then the plans, 2 to a page, are "C B" and "A"
    And the plans with action=a/one are "C A"
    And the plans with phase=STRATEGIZE are "B A"
    And the plans with phase=EXECUTE state=COMPLETE are "C"
    And the plans with project=shop state=ERRORED are ""

  @sqlite
  Scenario: What is kept in memory is gone when the service is
    Given a plan service in memory
    And a project shop
    When the service stops and starts again
    Then the project shop is not known
