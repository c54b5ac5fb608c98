Feature: A plan goes from its action to the project's branch
  Action, Strategize, Execute, Apply. What a plan may do depends on its phase
  and its state, and on nothing else; what it may not do is refused with the
  move, the reason and what is possible, and changes nothing.

  The scripts in the tables are run by `sh -c`. In them, `reach x` says that
  the script has come there, and `await x` waits until the scenario lets it go
  on. $OUT is a folder beside all projects.

  Background:
    Given a lock server
    And a plan service
    And a project shop

  # === the whole way ===

  Scenario: From use to the merge
    Given the action demo/edit
      | step  | add    | echo new > new.txt                |
      | step  | change | echo more >> one.txt; rm two.txt  |
      | check | there  | test -e new.txt                   |
    When demo/edit is used on shop
    Then the answer is a plan that is STRATEGIZE COMPLETE
    And the plan starts from shop's commit on main
    And shop is as it was
    When the plan is executed
    Then the answer is a plan that is EXECUTE PROCESSING
    And the plan becomes EXECUTE COMPLETE
    And the plan's branch has the commits of "add, change"
    And the changesets are
      | add    | ADDED new.txt                     |
      | change | MODIFIED one.txt, DELETED two.txt |
    And the diff is what git shows between the plan's base and its branch
    And shop is as it was
    When the plan is applied
    Then the answer is a plan that is APPLY PROCESSING
    And the plan becomes APPLY APPLIED
    And main of shop is a merge of shop's commit and the plan's
    And the work tree of shop is clean
    And new.txt of shop is "new\n"
    And shop has no two.txt
    And nothing of the plan is left in shop
    And the diff is what git shows between the plan's base and its branch
    And the history of the plan is
      | ACTION     | QUEUED     |
      | STRATEGIZE | PROCESSING |
      | STRATEGIZE | COMPLETE   |
      | EXECUTE    | PROCESSING |
      | EXECUTE    | COMPLETE   |
      | APPLY      | PROCESSING |
      | APPLY      | APPLIED    |

  Scenario: While it executes, its branch is in the project and its files are not
    Given the action demo/slow
      | step | write | echo new > new.txt; reach written; await go |
    And a plan of demo/slow on shop
    When the plan is executed
    And "written" is reached
    Then the plan's branch is in shop
    And shop is as it was
    And the lock of the plan is held by its run
    When "go" is given
    Then the plan becomes EXECUTE COMPLETE
    And the lock of the plan is free
    And the plan's branch is in shop
    And shop has no worktree beside its own

  Scenario: Steps that change nothing make no commit and no merge of anything new
    Given the action demo/idle
      | step | look | cat one.txt |
    And a plan of demo/idle on shop, executed
    Then the plan's branch has the commits of ""
    When the plan is applied
    Then the plan becomes APPLY APPLIED
    And the work tree of shop is clean
    And shop has the files that it had

  Scenario: The service knows its plans after it was started again
    Given the action demo/edit
      | step | add | echo new > new.txt |
    And a plan of demo/edit on shop, executed
    When the service stops and starts again
    Then the plan is EXECUTE COMPLETE
    When the plan is applied
    Then the plan becomes APPLY APPLIED
    And new.txt of shop is "new\n"

  # === the table of moves ===

  Scenario Outline: A move that is allowed, from <phase> <state>
    Given a plan that is <phase> <state>
    And what was wrong is put right
    When the plan is <move>
    Then the plan becomes <then>

    Examples:
      | phase      | state       | move      | then                 |
      | STRATEGIZE | COMPLETE    | executed  | EXECUTE COMPLETE     |
      | STRATEGIZE | COMPLETE    | reverted  | STRATEGIZE COMPLETE  |
      | STRATEGIZE | COMPLETE    | cancelled | STRATEGIZE CANCELLED |
      | STRATEGIZE | ERRORED     | retried   | STRATEGIZE COMPLETE  |
      | STRATEGIZE | ERRORED     | reverted  | STRATEGIZE COMPLETE  |
      | STRATEGIZE | ERRORED     | cancelled | STRATEGIZE CANCELLED |
      | EXECUTE    | COMPLETE    | applied   | APPLY APPLIED        |
      | EXECUTE    | COMPLETE    | reverted  | STRATEGIZE COMPLETE  |
      | EXECUTE    | COMPLETE    | cancelled | EXECUTE CANCELLED    |
      | EXECUTE    | ERRORED     | retried   | EXECUTE COMPLETE     |
      | EXECUTE    | ERRORED     | reverted  | STRATEGIZE COMPLETE  |
      | EXECUTE    | ERRORED     | cancelled | EXECUTE CANCELLED    |
      | APPLY      | ERRORED     | retried   | APPLY APPLIED        |
      | APPLY      | ERRORED     | reverted  | STRATEGIZE COMPLETE  |
      | APPLY      | ERRORED     | cancelled | APPLY CANCELLED      |
      | APPLY      | CONSTRAINED | reverted  | STRATEGIZE COMPLETE  |
      | APPLY      | CONSTRAINED | cancelled | APPLY CANCELLED      |

  Scenario Outline: Moves that are refused, from <phase> <state>
    Given a plan that is <phase> <state>
    Then each of these moves is refused and changes nothing: <moves>
    And each time it is said that <why>
    And each time what is possible is "<possible>"
    And the plan says that what is possible is "<possible>"

    Examples:
      | phase      | state       | moves                                     | why                                   | possible              |
      | STRATEGIZE | COMPLETE    | apply                                     | it is not executed yet                | execute,revert,cancel |
      | STRATEGIZE | COMPLETE    | retry                                     | only a plan that is ERRORED is retried | execute,revert,cancel |
      | STRATEGIZE | ERRORED     | execute, apply                            | its last run failed                   | retry,revert,cancel   |
      | EXECUTE    | COMPLETE    | execute                                   | it is executed already                | apply,revert,cancel   |
      | EXECUTE    | COMPLETE    | retry                                     | only a plan that is ERRORED is retried | apply,revert,cancel   |
      | EXECUTE    | ERRORED     | execute, apply                            | its last run failed                   | retry,revert,cancel   |
      | APPLY      | ERRORED     | execute, apply                            | its last run failed                   | retry,revert,cancel   |
      | APPLY      | CONSTRAINED | execute, apply                            | it cannot go on as it is              | revert,cancel         |
      | APPLY      | CONSTRAINED | retry                                     | only a plan that is ERRORED is retried | revert,cancel         |
      | APPLY      | APPLIED     | execute, apply, retry, revert, cancel     | it is applied, and that is final      |                       |
      | STRATEGIZE | CANCELLED   | execute, apply, retry, revert, cancel     | it was cancelled, and that is final   |                       |
      | EXECUTE    | CANCELLED   | execute, apply, retry, revert, cancel     | it was cancelled, and that is final   |                       |
      | APPLY      | CANCELLED   | execute, apply, retry, revert, cancel     | it was cancelled, and that is final   |                       |

  # === back ===

  Scenario Outline: Back to Strategize on a new base, from <phase> <state>
    Given a plan that is <phase> <state>
    And what was wrong is put right
    When someone commits "later" as later.txt to shop
    And the plan is reverted
    Then the plan becomes STRATEGIZE COMPLETE
    And the plan starts from shop's commit on main
    And the plan was strategized 2 times
    And there are no changesets
    And the plan's branch is not in shop
    When the plan is executed
    Then the plan becomes EXECUTE COMPLETE
    And later.txt on the plan's branch is "later"
    When the plan is applied
    Then the plan becomes APPLY APPLIED
    And main of shop is a merge of shop's commit and the plan's

    Examples:
      | phase      | state       |
      | STRATEGIZE | COMPLETE    |
      | EXECUTE    | COMPLETE    |
      | EXECUTE    | ERRORED     |
      | APPLY      | ERRORED     |
      | APPLY      | CONSTRAINED |

  # === again ===

  Scenario: A retry goes on after the last step that is complete
    Given the action demo/steps
      | step | first  | echo first >> "$OUT/ran"; echo 1 > 1.txt                          |
      | step | second | echo second >> "$OUT/ran"; echo 2 > 2.txt; test -e "$OUT/repaired" |
      | step | third  | echo third >> "$OUT/ran"; echo 3 > 3.txt                          |
    And a plan of demo/steps on shop
    When the plan is executed
    Then the plan becomes EXECUTE ERRORED by STEP_FAILED in second
    And the steps are "first COMPLETE, second FAILED, third WAITING"
    And the plan's branch has the commits of "first"
    When "repaired" is given
    And the plan is retried
    Then the plan becomes EXECUTE COMPLETE
    And the steps are "first COMPLETE, second COMPLETE, third COMPLETE"
    And "ran" holds the lines "first, second, second, third"
    And the plan's branch has the commits of "first, second, third"
    And the changesets are
      | first  | ADDED 1.txt |
      | second | ADDED 2.txt |
      | third  | ADDED 3.txt |

  Scenario: What a step that failed has left behind is not there when it runs again
    Given the action demo/leaves
      | step | one | test ! -e junk.txt; e=$?; echo junk > junk.txt; test $e = 0 -a -e "$OUT/repaired" |
    And a plan of demo/leaves on shop
    When the plan is executed
    Then the plan becomes EXECUTE ERRORED by STEP_FAILED in one
    When "repaired" is given
    And the plan is retried
    Then the plan becomes EXECUTE COMPLETE

  # === cancel ===

  Scenario: A plan that runs is cancelled once its steps have ended
    Given the action demo/slow
      | step | write | echo new > new.txt; reach written; await go |
      | step | more  | echo more > more.txt                        |
    And a plan of demo/slow on shop
    When the plan is executed
    And "written" is reached
    And the plan is cancelled because "nobody wants it"
    Then the answer is a plan that is to be cancelled
    And the plan becomes EXECUTE CANCELLED by CANCELLED
    And the problem says "nobody wants it"
    And the steps are "write STOPPED, more WAITING"
    And no process of a step is left
    And nothing of the plan is left in shop
    And shop is as it was
    And the lock of the plan is free
    And the diff is refused with DIFF_GONE

  Scenario: A step that does not want to end is ended
    Given the action demo/deaf
      | step | deaf | trap '' TERM INT HUP; reach deaf; while true; do sleep 1; done |
    And a plan of demo/deaf on shop
    When the plan is executed
    And "deaf" is reached
    And the plan is cancelled
    Then the plan becomes EXECUTE CANCELLED by CANCELLED
    And no process of a step is left

  Scenario: A plan whose check runs is cancelled, and nothing is merged
    Given the action demo/checked
      | step  | write | echo new > new.txt |
      | check | slow  | reach checking; await go |
    And a plan of demo/checked on shop, executed
    When the plan is applied
    And "checking" is reached
    And the plan is cancelled
    Then the plan becomes APPLY CANCELLED by CANCELLED
    And shop is as it was
    And nothing of the plan is left in shop
    And the lock of project/shop is free
