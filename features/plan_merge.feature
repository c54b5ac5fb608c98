Feature: A plan is merged as a whole or not at all
  The merge is made beside the project and shown by one move of its branch.
  What nobody has committed is never overwritten, and a conflict leaves the
  project as it was.

  Background:
    Given a lock server
    And a plan service
    And a project shop
    And the action demo/edit
      | step  | edit | sed -i 's/line 3/LINE 3/' one.txt; echo new > new.txt; rm two.txt |

  Scenario: The project has gone on meanwhile
    Given a plan of demo/edit on shop, executed
    When someone commits "later" as later.txt to shop
    And the plan is applied
    Then the plan becomes APPLY APPLIED
    And main of shop is a merge of shop's commit and the plan's
    And later.txt of shop is "later"
    And new.txt of shop is "new\n"
    And the work tree of shop is clean

  Scenario: Both have changed other lines of one file
    Given a plan of demo/edit on shop, executed
    When someone replaces "line 9" with "LINE 9" in one.txt of shop and commits it
    And the plan is applied
    Then the plan becomes APPLY APPLIED
    And one.txt of shop has the lines "LINE 3, LINE 9"

  Scenario: A conflict leaves the project as it was, and the plan can begin anew
    Given a plan of demo/edit on shop, executed
    When someone replaces "line 3" with "LINE three" in one.txt of shop and commits it
    And someone commits "another" as new.txt to shop
    And the plan is applied
    Then the plan becomes APPLY CONSTRAINED by MERGE_CONFLICT
    And the problem names the files "new.txt, one.txt"
    And shop is as it was
    And the lock of the plan is free
    And the lock of project/shop is free
    When the plan is reverted
    Then the plan becomes STRATEGIZE COMPLETE
    And the plan starts from shop's commit on main
    When the plan is executed
    Then the plan becomes EXECUTE COMPLETE
    When the plan is applied
    Then the plan becomes APPLY APPLIED
    And main of shop is a merge of shop's commit and the plan's
    And new.txt of shop is "new\n"

  Scenario: A file that the plan deletes and the project has changed
    Given a plan of demo/edit on shop, executed
    When someone commits "changed" as two.txt to shop
    And the plan is applied
    Then the plan becomes APPLY CONSTRAINED by MERGE_CONFLICT
    And the problem names the files "two.txt"
    And shop is as it was

  Scenario Outline: Uncommitted changes that the merge would touch: <what>
    Given a plan of demo/edit on shop, executed
    When someone leaves <what> in shop
    And the plan is applied
    Then the call is refused with UNCOMMITTED_CHANGES
    And the refusal tells
      | project    | shop   |
      | file_count | 1      |
      | file       | <file> |
    And the refusal's PreconditionFailure names "<file>"
    And shop is as it was
    And the plan is EXECUTE COMPLETE
    And the lock of the plan is free
    And the lock of project/shop is free
    When someone puts shop's files back
    And the plan is applied
    Then the plan becomes APPLY APPLIED

    Examples:
      | what                         | file    |
      | "mine" as one.txt            | one.txt |
      | "mine" as one.txt, staged    | one.txt |
      | "mine" as new.txt, untracked | new.txt |
      | "mine" as two.txt            | two.txt |

  Scenario: Uncommitted changes that the merge does not touch stay
    Given a plan of demo/edit on shop, executed
    When someone leaves "mine" as dir/three.txt in shop
    And someone leaves "mine too" as notes.txt, untracked in shop
    And the plan is applied
    Then the plan becomes APPLY APPLIED
    And dir/three.txt of shop is "mine"
    And notes.txt of shop is "mine too"
    And new.txt of shop is "new\n"

  Scenario: Uncommitted changes that come while the checks run
    Given the action demo/checked
      | step  | edit | echo more >> one.txt     |
      | check | slow | reach checking; await go |
    And a plan of demo/checked on shop, executed
    When the plan is applied
    And "checking" is reached
    And someone leaves "mine" as one.txt in shop
    And "go" is given
    Then the plan becomes APPLY ERRORED by UNCOMMITTED_CHANGES
    And the problem names the files "one.txt"
    And shop is as it was
    And one.txt of shop is "mine"
    When someone puts shop's files back
    And the plan is retried
    Then the plan becomes APPLY APPLIED
    And main of shop is a merge of shop's commit and the plan's

  Scenario: The project goes on while the checks run
    Given the action demo/checked
      | step  | edit | echo more >> one.txt     |
      | check | slow | reach checking; await go |
    And a plan of demo/checked on shop, executed
    When the plan is applied
    And "checking" is reached
    And someone commits "later" as later.txt to shop
    And "go" is given
    Then the plan becomes APPLY APPLIED
    And main of shop is a merge of shop's commit and the plan's
    And later.txt of shop is "later"

  Scenario: It is merged into the branch that the project is on
    Given a plan of demo/edit on shop, executed
    When someone checks the new branch release out in shop
    And the plan is applied
    Then the plan becomes APPLY APPLIED
    And release of shop is a merge of shop's commit and the plan's
    And main of shop is where it was

  Scenario: A project that is on no branch
    Given a plan of demo/edit on shop, executed
    When someone detaches shop's HEAD
    And the plan is applied
    Then the plan becomes APPLY ERRORED by PROJECT_UNUSABLE
    And the problem says "detached"
    When someone checks main out in shop
    And the plan is retried
    Then the plan becomes APPLY APPLIED

  Scenario: A check that fails keeps everything from being merged
    Given the action demo/checked
      | step  | edit    | echo more >> one.txt                          |
      | check | passes  | grep -q more one.txt; echo left > by-check.txt |
      | check | fails   | echo no; test -e "$OUT/repaired"              |
    And a plan of demo/checked on shop, executed
    When the plan is applied
    Then the plan becomes APPLY ERRORED by CHECK_FAILED in fails
    And the checks are "passes COMPLETE, fails FAILED"
    And shop is as it was
    And the lock of project/shop is free
    When "repaired" is given
    And the plan is retried
    Then the plan becomes APPLY APPLIED
    And shop has no by-check.txt

  Scenario: Modes, links, binary files and odd names arrive as they were made
    Given the action demo/odd
      | step | odd | head -c 3000 /dev/zero > zero.bin; chmod +x tool.sh; ln -s one.txt link; mv two.txt moved.txt; echo x > 'a name with "quotes"' |
    And a plan of demo/odd on shop, executed
    When the plan is applied
    Then the plan becomes APPLY APPLIED
    And the work tree of shop is clean
    And tool.sh of shop is executable
    And link of shop is a link to one.txt
    And moved.txt of shop is "two\n"
    And shop has no two.txt

  Scenario: Two plans that do not meet are merged one after the other
    Given the action demo/write
      | param | name  | string                          |
      | step  | write | echo {{name}} > '{{name}}.txt'  |
    And plan A of demo/write on shop with name=left, executed
    And plan B of demo/write on shop with name=right, executed
    When plan A is applied
    Then plan A becomes APPLY APPLIED
    When plan B is applied
    Then plan B becomes APPLY APPLIED
    And main of shop has exactly one merge for each of plan A and plan B
    And left.txt of shop is "left\n"
    And right.txt of shop is "right\n"
