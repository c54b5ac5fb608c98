Feature: One run at a time works on a plan, over any number of instances
  Every move is a run under the plan's lock, kept alive while it works. A
  second one gets its conflict in the answer itself. A run that loses its lease
  ends its commands before the lease can be anybody else's, and one that was
  paused past it writes nothing more, anywhere.

  # === two at once ===

  Scenario Outline: Of many who execute a plan at the same moment exactly one does, <where>
    Given a lock server
    And <services>
    And a project shop
    And the action demo/slow
      | step | once | echo ran >> "$OUT/ran"; reach begun; await go; echo new > new.txt |
    And a plan of demo/slow on shop
    When 10 execute the plan at the same moment
    Then exactly 1 of them succeeds
    And the other 9 are refused with LOCK_CONFLICT
    And each conflict names plan's run as the holder of its lock, and when its lease expires
    When "begun" is reached
    And "go" is given
    Then the plan becomes EXECUTE COMPLETE
    And "ran" holds the lines "ran"

    Examples:
      | where            | services                         |
      | at one instance  | a plan service                   |
      | at two instances | two plan services, East and West |

  Scenario Outline: Whoever comes while a run <works> gets its conflict at once
    Given a lock server
    And two plan services, East and West
    And callers turn to East
    And a project shop
    And the action demo/slow
      | step  | edit  | echo more >> one.txt; reach executing; await go-on |
      | check | check | reach applying; await go                           |
    And a plan of demo/slow on shop
    When the plan is executed
    And "executing" is reached
    And the plan is <moved> as far as "<reached>"
    And callers turn to <instance>
    Then each of these moves is refused with LOCK_CONFLICT: execute, apply, retry, revert
    And each conflict names plan's run as the holder of its lock, and when its lease expires
    When "go-on" is given
    And "go" is given
    Then the plan comes to rest

    Examples:
      | works    | moved    | reached   | instance |
      | executes | executed | executing | East     |
      | executes | executed | executing | West     |
      | applies  | applied  | applying  | East     |
      | applies  | applied  | applying  | West     |

  Scenario: A run holds its plan's lock under an owner of its own
    Given a lock server
    And a plan service
    And a project shop
    And the action demo/slow
      | step | say | echo "$LOCK_RESOURCE $LOCK_OWNER_ID" >> "$OUT/owners"; reach begun; await go |
    And plan A of demo/slow on shop
    And plan B of demo/slow on shop
    When plan A is executed
    And plan B is executed
    Then "owners" comes to hold 2 lines, none twice
    And the lock of plan A is held by its run
    And the lock of plan B is held by its run
    And plan A is told with its lock, which its run holds
    When "go" is given
    Then plan A becomes EXECUTE COMPLETE
    And plan B becomes EXECUTE COMPLETE
    And the lock of plan A is free
    And plan A is told with its lock, which nobody holds

  Scenario: A plan that runs is cancelled through the other instance
    Given a lock server
    And two plan services, East and West
    And callers turn to East
    And a project shop
    And the action demo/slow
      | step | write | echo new > new.txt; reach written; await go |
    And a plan of demo/slow on shop
    When the plan is executed
    And "written" is reached
    And callers turn to West
    And the plan is cancelled because "enough"
    Then the answer is a plan that is to be cancelled
    And the plan becomes EXECUTE CANCELLED by CANCELLED
    And the plan is not to be cancelled any more
    And no process of a step is left
    And nothing of the plan is left in shop
    And the lock of the plan is free

  # === the project's lock ===

  Scenario: A project that is locked by another, and nobody waits
    Given a lock server
    And a plan service
    And a project shop
    And the action demo/edit
      | step | edit | echo more >> one.txt |
    And a plan of demo/edit on shop, executed
    And Ann holds the lock of project/shop
    When the plan is applied
    Then the call is refused with LOCK_CONFLICT
    And the conflict names Ann as the holder of project/shop, and when her lease expires
    And the lock of the plan is free
    And the plan is EXECUTE COMPLETE
    When Ann releases the lock of project/shop
    And the plan is applied
    Then the plan becomes APPLY APPLIED

  Scenario: A project that is locked by another, and the plan waits in line
    Given a lock server
    And a plan service
    And a project shop
    And the action demo/edit
      | step | edit | echo more >> one.txt |
    And a plan of demo/edit on shop, executed
    And Ann holds the lock of project/shop
    When someone asks for the plan to be applied, and waits 30 s for the project
    Then 1 waits for the lock of project/shop
    And the lock of the plan is held
    And the one who asked has no answer yet
    When Ann releases the lock of project/shop
    Then the one who asked gets a plan that is APPLY PROCESSING
    And the plan becomes APPLY APPLIED
    And the lock of project/shop is free

  Scenario: A wait for the project that is too short
    Given a lock server
    And a plan service
    And a project shop
    And the action demo/edit
      | step | edit | echo more >> one.txt |
    And a plan of demo/edit on shop, executed
    And Ann holds the lock of project/shop
    When someone asks for the plan to be applied, and waits 1 s for the project
    Then the one who asked is refused with LOCK_CONFLICT
    And the conflict names Ann as the holder of project/shop, and when her lease expires
    And the lock of the plan is free
    And the plan is EXECUTE COMPLETE
    And nobody waits for the lock of project/shop

  Scenario: Two plans of one project are applied at the same moment
    Given a lock server
    And two plan services, East and West
    And a project shop
    And the action demo/write
      | param | name  | string                         |
      | step  | write | echo {{name}} > '{{name}}.txt' |
      | check | slow  | reach checking; await go       |
    And plan A of demo/write on shop with name=left, executed
    And plan B of demo/write on shop with name=right, executed
    When plan A is applied at East
    And "checking" is reached
    And plan B is applied at West
    Then the call is refused with LOCK_CONFLICT
    And the conflict names plan A's run as the holder of project/shop
    When someone asks for plan B to be applied, and waits 30 s for the project
    Then 1 waits for the lock of project/shop
    When "go" is given
    Then plan A becomes APPLY APPLIED
    And plan B becomes APPLY APPLIED
    And main of shop has exactly one merge for each of plan A and plan B

  Scenario: Every plan is sent to both instances at once, and each runs exactly once
    Given a lock server
    And two plan services, East and West
    And projects shop and depot
    And the action demo/write
      | param | name  | string                                                   |
      | step  | write | echo {{name}} >> "$OUT/ran"; echo {{name}} > {{name}}.txt |
    And 4 plans of demo/write on each of shop and depot
    When every plan is executed at both instances at the same moment
    Then each plan is executed once, and whoever lost got LOCK_CONFLICT or INVALID_TRANSITION
    And "ran" holds one line for each plan
    When every plan is applied at both instances at the same moment, as often as the project is taken
    Then each plan is applied once, and whoever lost got LOCK_CONFLICT or INVALID_TRANSITION
    And main of shop has exactly one merge for each of its plans
    And main of depot has exactly one merge for each of its plans

  # === a lease that is lost ===

  Scenario: A hold that an operator breaks in mid-execution
    Given a lock server with "--default-ttl plan=4s"
    And a plan service
    And a project shop
    And the action demo/slow
      | step | first | echo first >> "$OUT/ran"; echo 1 > 1.txt                            |
      | step | slow  | echo slow >> "$OUT/ran"; echo 2 > 2.txt; reach begun; await go |
    And a plan of demo/slow on shop
    When the plan is executed
    And "begun" is reached
    And an operator breaks the hold on the plan's lock
    Then no process of a step is left
    And the plan becomes EXECUTE ERRORED by LOCK_LOST
    And the steps are "first COMPLETE, slow STOPPED"
    And the plan's branch has the commits of "first"
    When "go" is given
    And the plan is retried
    Then the plan becomes EXECUTE COMPLETE
    And "ran" holds the lines "first, slow, slow"
    And the plan's branch has the commits of "first, slow"

  Scenario: A lock server that is away until the lease is over
    Given a lock server that can be taken away, with "--default-ttl plan=4s"
    And a plan service
    And a project shop
    And the action demo/slow
      | step | slow | echo slow >> "$OUT/ran"; echo 2 > 2.txt; reach begun; await go |
    And a plan of demo/slow on shop
    When the plan is executed
    And "begun" is reached
    And Ann waits for the lock of the plan
    And the lock server is away
    Then Ann is granted the lock of the plan, and no process of a step is left by then
    And the plan becomes EXECUTE ERRORED by LOCK_LOST
    When the lock server is back
    And Ann releases the lock of the plan
    And "go" is given
    And the plan is retried
    Then the plan becomes EXECUTE COMPLETE
    And "ran" holds the lines "slow, slow"

  Scenario: A project's lease that is lost while the checks run
    Given a lock server with "--default-ttl project=4s"
    And a plan service
    And a project shop
    And the action demo/checked
      | step  | edit  | echo more >> one.txt     |
      | check | check | reach checking; await go |
    And a plan of demo/checked on shop, executed
    When the plan is applied
    And "checking" is reached
    And an operator breaks the hold on the lock of project/shop
    Then no process of a step is left
    And the plan becomes APPLY ERRORED by LOCK_LOST
    And shop is as it was
    When "go" is given
    And the plan is retried
    Then the plan becomes APPLY APPLIED

  # === a lock server that is away ===

  Scenario: Without the lock server nothing begins, and nothing changes
    Given a lock server that can be taken away
    And a plan service with "--lock-timeout 500ms"
    And a project shop
    And the action demo/edit
      | step | edit | echo more >> one.txt; test -e "$OUT/repaired" |
    And plan A of demo/edit on shop
    And plan B of demo/edit on shop
    When plan B is executed
    Then plan B becomes EXECUTE ERRORED by STEP_FAILED in edit
    Given "repaired" is given
    And plan C of demo/edit on shop, executed
    When the lock server is away
    Then without a lock none of these begins, and nothing changes
      | plan A | execute, revert, cancel |
      | plan B | retry, revert, cancel   |
      | plan C | apply, revert, cancel   |
    And without a lock demo/edit can not be used on shop
    And shop is as it was
    And the diagnostics say that the lock server is away
    And plan A is told, and why nothing is known of its lock
    When the lock server is back
    Then plan A can be taken to APPLY APPLIED

  Scenario: A phase under way goes on while its lease is trusted
    Given a lock server that can be taken away
    And a plan service
    And a project shop
    And the action demo/slow
      | step | slow | reach begun; await go; echo new > new.txt |
      | step | more | echo more > more.txt                      |
    And a plan of demo/slow on shop
    When the plan is executed
    And "begun" is reached
    And the lock server is away
    And "go" is given
    Then the plan becomes EXECUTE COMPLETE
    And the plan's branch has the commits of "slow, more"
    When the lock server is back
    Then the lock of the plan is free

  # === an instance that stops ===

  Scenario: A run that ends within the grace of a stop
    Given a lock server
    And two plan services as processes, East and West, with "--shutdown-grace 30s"
    And callers turn to East
    And a project shop
    And the action demo/slow
      | step | slow | reach begun; await go; echo new > new.txt |
    And plan A of demo/slow on shop
    And plan B of demo/slow on shop
    When plan A is executed
    And "begun" is reached
    And East is told to stop
    Then East takes no new work
    When "go" is given
    Then East ends with the exit code 0
    When callers turn to West
    Then plan A is EXECUTE COMPLETE
    And the lock of plan A is free
    And plan B can be taken to APPLY APPLIED

  Scenario: A run that does not end within the grace of a stop
    Given a lock server
    And two plan services as processes, East and West, with "--shutdown-grace 5s"
    And callers turn to East
    And a project shop
    And the action demo/slow
      | step | slow | echo ran >> "$OUT/ran"; reach begun; await go; echo new > new.txt |
    And a plan of demo/slow on shop
    When the plan is executed
    And "begun" is reached
    And East is told to stop
    Then East ends with the exit code 0
    And no process of a step is left
    When callers turn to West
    Then the plan is EXECUTE ERRORED by INTERRUPTED
    And the steps are "slow STOPPED"
    And the lock of the plan is free
    When "go" is given
    And the plan is retried
    Then the plan becomes EXECUTE COMPLETE
    And "ran" holds the lines "ran, ran"

  # === an instance that dies ===

  Scenario: An instance that is killed in mid-execution, and another one goes on
    Given a lock server with "--default-ttl plan=4s"
    And two plan services as processes, East and West, with "--recovery-interval 1s"
    And callers turn to East
    And a project shop
    And the action demo/slow
      | step | first | echo first >> "$OUT/ran"; echo 1 > 1.txt                                 |
      | step | slow  | echo slow >> "$OUT/ran"; echo 2 > 2.txt; reach begun; await go |
    And a plan of demo/slow on shop
    When the plan is executed
    And "begun" is reached
    And East is killed
    Then no process of a step is left
    When callers turn to West
    Then the plan becomes EXECUTE ERRORED by INTERRUPTED
    And the problem says "East"
    And the steps are "first COMPLETE, slow STOPPED"
    When "go" is given
    And the plan is retried
    Then the plan becomes EXECUTE COMPLETE
    And "ran" holds the lines "first, slow, slow"
    And the plan's branch has the commits of "first, slow"
    When the plan is applied
    Then the plan becomes APPLY APPLIED
    When East starts again
    Then shop has no worktree beside its own
    And East has no worktree

  Scenario: An instance that is killed, and finds its plans when it starts again
    Given a lock server with "--default-ttl plan=4s"
    And a plan service as a process, East, with "--recovery-interval 1s"
    And a project shop
    And the action demo/slow
      | step | slow | echo 2 > 2.txt; reach begun; await go |
    And a plan of demo/slow on shop
    When the plan is executed
    And "begun" is reached
    And East is killed
    And East starts again
    Then shop has no worktree beside its own
    And East has no worktree
    And the plan becomes EXECUTE ERRORED by INTERRUPTED
    When "go" is given
    And the plan is retried
    Then the plan becomes EXECUTE COMPLETE

  Scenario: An instance that is killed while the checks run
    Given a lock server with "--default-ttl plan=4s --default-ttl project=4s"
    And two plan services as processes, East and West, with "--recovery-interval 1s"
    And callers turn to East
    And a project shop
    And the action demo/checked
      | step  | edit  | echo more >> one.txt     |
      | check | check | reach checking; await go |
    And a plan of demo/checked on shop, executed
    When the plan is applied
    And "checking" is reached
    And East is killed
    Then no process of a step is left
    When callers turn to West
    Then the plan becomes APPLY ERRORED by INTERRUPTED
    And shop is as it was
    When "go" is given
    And the plan is retried, and waits 10 s for the project
    Then the plan becomes APPLY APPLIED
    And main of shop has exactly one merge for the plan

  Scenario: A move that finds a plan whose run is gone puts it right
    Given a lock server with "--default-ttl plan=4s"
    And two plan services as processes, East and West, with "--recovery-interval 1h"
    And callers turn to East
    And a project shop
    And the action demo/slow
      | step | slow | echo 2 > 2.txt; reach begun; await go |
    And a plan of demo/slow on shop
    When the plan is executed
    And "begun" is reached
    And East is killed
    And callers turn to West
    And "go" is given
    And the lease on the plan's lock is over
    And the plan is retried
    Then the plan becomes EXECUTE COMPLETE
    And the history of the plan is
      | ACTION     | QUEUED     |
      | STRATEGIZE | PROCESSING |
      | STRATEGIZE | COMPLETE   |
      | EXECUTE    | PROCESSING |
      | EXECUTE    | ERRORED    |
      | EXECUTE    | PROCESSING |
      | EXECUTE    | COMPLETE   |

  # === an instance that is paused ===

  Scenario: An instance that is paused past its lease in mid-execution
    Given a lock server with "--default-ttl plan=4s"
    And two plan services as processes, East and West, with "--recovery-interval 1s"
    And callers turn to East
    And a project shop
    And the action demo/ticks
      | step | first | echo 1 > 1.txt                                                                                                    |
      | step | ticks | n=$LOCK_FENCING_TOKEN; reach begun; until [ -e "$OUT/go" ]; do echo $n >> "$OUT/ticks"; sleep 0.05; done; echo 2 > 2.txt |
      | step | last  | echo 3 > 3.txt                                                                                                    |
    And a plan of demo/ticks on shop
    When the plan is executed
    And "begun" is reached
    And East is paused
    Then no process of a step is left
    When callers turn to West
    Then the plan becomes EXECUTE ERRORED by INTERRUPTED
    When "go" is given
    And the plan is retried
    Then the plan becomes EXECUTE COMPLETE
    And the plan's branch has the commits of "first, ticks, last"
    Given everything that the plan has written is noted
    When East goes on
    Then East has no run any more
    And nothing more of the plan was written
    And the plan is EXECUTE COMPLETE
    When the plan is applied
    Then the plan becomes APPLY APPLIED
    And main of shop has exactly one merge for the plan

  Scenario: An instance that is paused past its lease while the checks run
    Given a lock server with "--default-ttl plan=4s --default-ttl project=4s"
    And two plan services as processes, East and West, with "--recovery-interval 1s"
    And callers turn to East
    And a project shop
    And the action demo/checked
      | step  | edit  | echo more >> one.txt     |
      | check | check | reach checking; await go |
    And a plan of demo/checked on shop, executed
    When the plan is applied
    And "checking" is reached
    And East is paused
    And callers turn to West
    Then the plan becomes APPLY ERRORED by INTERRUPTED
    When "go" is given
    And the plan is retried, and waits 10 s for the project
    Then the plan becomes APPLY APPLIED
    Given everything that the plan has written is noted
    When East goes on
    Then East has no run any more
    And nothing more of the plan was written
    And main of shop has exactly one merge for the plan

  Scenario: A paused instance whose plan was begun anew
    Given a lock server with "--default-ttl plan=4s"
    And two plan services as processes, East and West, with "--recovery-interval 1s"
    And callers turn to East
    And a project shop
    And the action demo/slow
      | step | slow | echo $LOCK_FENCING_TOKEN > 2.txt; reach begun; await go |
    And a plan of demo/slow on shop
    When the plan is executed
    And "begun" is reached
    And East is paused
    And callers turn to West
    Then the plan becomes EXECUTE ERRORED by INTERRUPTED
    When the plan is cancelled
    Then the plan becomes EXECUTE CANCELLED
    And "go" is given
    Given everything that the plan has written is noted
    When East goes on
    Then East has no run any more
    And nothing more of the plan was written
    And nothing of the plan is left in shop
