Feature: What a step runs in, and what becomes of what it did
  A step is a program with arguments, never a line for a shell. It runs in a
  worktree of its own making, with what the plan tells it, for as long as it
  may, and nothing of it is left when it has ended.

  Background:
    Given a lock server
    And a plan service
    And a project shop

  # === what it is given ===

  Scenario: A step is told what it works for
    Given the action
      """
      name = "demo/env"

      [[parameters]]
      name = "who"

      [[steps]]
      name = "show"
      argv = ["sh", "-c", "env | grep -E '^(PLAN_|LOCK_|OWN)' | sort > env.txt; pwd > pwd.txt; git rev-parse --show-toplevel > top.txt; tty > tty.txt; cat > stdin.txt"]
      env = { OWN = "for {{who}}" }
      """
    When demo/env is used on shop with
      | who | Ann & Bea |
    Then the plan becomes STRATEGIZE COMPLETE
    When the plan is executed
    Then the plan becomes EXECUTE COMPLETE
    And env.txt on the plan's branch tells
      | PLAN_ID          | the plan's id          |
      | PLAN_PROJECT     | shop                   |
      | PLAN_ACTION      | demo/env               |
      | PLAN_STEP        | show                   |
      | PLAN_BASE_COMMIT | the plan's base        |
      | LOCK_RESOURCE    | the plan's lock        |
      | OWN              | for Ann & Bea          |
    And env.txt on the plan's branch tells a LOCK_OWNER_ID and a LOCK_FENCING_TOKEN
    And pwd.txt and top.txt on the plan's branch are the same
    And tty.txt on the plan's branch is "not a tty\n"
    And stdin.txt on the plan's branch is ""

  Scenario Outline: A value stays one argument, whatever it holds: <what>
    Given the action
      """
      name = "demo/show"

      [[parameters]]
      name = "text"

      [[parameters]]
      name = "other"
      default = "never"

      [[steps]]
      name = "show"
      argv = ["sh", "-c", 'printf "%s\n" "$@" > args.txt', "show", "{{text}}", "a {{text}} b"]
      """
    When demo/show is used on shop with
      | text | <value> |
    Then the plan becomes STRATEGIZE COMPLETE
    When the plan is executed
    Then the plan becomes EXECUTE COMPLETE
    And args.txt on the plan's branch has the lines
      | <value>     |
      | a <value> b |
    And the plan's branch changes only args.txt

    Examples:
      | what              | value                     |
      | spaces            | two  words                |
      | quotes            | it's "quoted"             |
      | a command         | $(touch x) `touch y`      |
      | more commands     | ; touch x && touch y & #  |
      | a variable        | $HOME ${PATH}             |
      | a pattern         | *.txt ~                   |
      | another parameter | {{other}}                 |
      | an option         | --help                    |
      | letters           | äöü 🔒                    |
      | nothing           | (empty)                   |

  Scenario: Braces of other programs stay as they are
    Given the action
      """
      name = "demo/braces"

      [[parameters]]
      name = "text"

      [[steps]]
      name = "show"
      argv = ["sh", "-c", 'printf "%s\n" "$@" > args.txt', "show", "{{.Names}}", "${{ github.ref }}", "{{ text }}", "{{{text}}}", "{{{{text}}", "{{{{nobody}}", "{{text"]
      """
    When demo/braces is used on shop with
      | text | hello |
    Then the plan becomes STRATEGIZE COMPLETE
    When the plan is executed
    Then the plan becomes EXECUTE COMPLETE
    And args.txt on the plan's branch has the lines
      | {{.Names}}        |
      | ${{ github.ref }} |
      | hello             |
      | {hello}           |
      | {{text}}          |
      | {{nobody}}        |
      | {{text            |

  Scenario: Numbers and booleans in a file are taken as their text
    Given the action
      """
      name = "demo/numbers"

      [[parameters]]
      name = "count"
      type = "integer"
      default = 3

      [[parameters]]
      name = "on"
      type = "boolean"
      default = true

      [[steps]]
      name = "show"
      argv = ["sh", "-c", "echo {{count}} {{on}} $LEVEL $FAST > args.txt"]
      env = { LEVEL = 7, FAST = false }
      """
    And a plan of demo/numbers on shop, executed
    Then args.txt on the plan's branch is "3 true 7 false\n"

  Scenario: Defaults stand where a plan says nothing
    Given the action
      """
      name = "demo/typed"

      [[parameters]]
      name = "text"
      default = "some text"

      [[parameters]]
      name = "count"
      type = "integer"
      default = "3"

      [[parameters]]
      name = "on"
      type = "boolean"
      default = "true"

      [[parameters]]
      name = "colour"
      type = "choice"
      choices = ["red", "blue"]
      default = "red"

      [[parameters]]
      name = "place"
      type = "path"
      default = "dir"

      [[steps]]
      name = "show"
      argv = ["sh", "-c", "echo \"$@\" > args.txt", "show", "{{text}}", "{{count}}", "{{on}}", "{{colour}}", "{{place}}"]
      """
    When demo/typed is used on shop with
      | count  | -12  |
      | colour | blue |
    Then the plan becomes STRATEGIZE COMPLETE
    And the plan's arguments are
      | text   | some text |
      | count  | -12       |
      | on     | true      |
      | colour | blue      |
      | place  | dir       |
    When the plan is executed
    Then the plan becomes EXECUTE COMPLETE
    And args.txt on the plan's branch is "some text -12 true blue dir\n"

  Scenario: A program with a slash is the worktree's
    Given the action
      """
      name = "demo/own"

      [[steps]]
      name = "make"
      argv = ["sh", "-c", "printf '#!/bin/sh\necho made > made.txt\n' > run.sh; chmod +x run.sh"]

      [[steps]]
      name = "run"
      argv = ["./run.sh"]
      """
    And a plan of demo/own on shop, executed
    Then made.txt on the plan's branch is "made\n"

  # === how it ends ===

  Scenario Outline: A step that fails: <what>
    Given the action
      """
      name = "demo/fails"

      [[steps]]
      name = "fails"
      argv = ["<program>", "<option>", "<argument>"]
      time_limit = "1s"

      [[steps]]
      name = "never"
      argv = ["touch", "never.txt"]
      """
    And a plan of demo/fails on shop
    When the plan is executed
    Then the plan becomes EXECUTE ERRORED by <reason> in fails
    And the problem says "<words>"
    And the steps are "fails FAILED, never WAITING"
    And step fails ended with <end>
    And no process of a step is left
    And there are no changesets
    And the lock of the plan is free
    And shop has no worktree beside its own

    Examples:
      | what                         | program   | option | argument              | reason            | words    | end         |
      | an exit code                 | sh        | -c     | echo x > x; exit 7    | STEP_FAILED       | code 7   | exit code 7 |
      | a signal                     | sh        | -c     | kill -9 $$            | STEP_FAILED       | signal 9 | signal 9    |
      | too long                     | sleep     | 600    | 0                     | STEP_TIMED_OUT    | 1s       | neither     |
      | too long, and deaf           | sh        | -c     | trap '' TERM; while :; do sleep 1; done | STEP_TIMED_OUT | 1s | neither |
      | no such program              | no-such-program | x | y                    | PROGRAM_NOT_FOUND | no-such-program | neither |
      | no such file                 | ./none.sh | x      | y                     | PROGRAM_NOT_FOUND | none.sh  | neither     |
      | a file that is no program    | ./one.txt | x      | y                     | PROGRAM_NOT_FOUND | one.txt  | neither     |

  Scenario Outline: Children that outlive their step are ended with it: <what>
    Given the action demo/parent
      | step | parent | <script>; sleep 0.2; echo done > done.txt |
    And a plan of demo/parent on shop
    When the plan is executed
    Then the plan becomes EXECUTE COMPLETE
    And no process of a step is left
    And done.txt on the plan's branch is "done\n"

    Examples:
      | what                             | script                                          |
      | one in the background            | sleep 600 & :                                   |
      | one whose parent is gone         | (sleep 600 & ) & :                              |
      | one with a session of its own    | setsid sleep 600 & :                            |
      | one that holds on to the output  | setsid sh -c 'trap "" TERM HUP; sleep 600' & :  |

  # === what it writes ===

  Scenario: What a step writes can be followed
    Given the action demo/talks
      | step | talks | echo one; await go; echo two >&2; echo three |
      | step | also  | echo four                                    |
    And a plan of demo/talks on shop
    And someone watches the plan
    When the plan is executed
    Then the watch tells that talks wrote "one\n"
    When "go" is given
    Then the watch tells that talks wrote "two\nthree\n"
    And the watch tells that also wrote "four\n"
    And the watch tells of a plan that is EXECUTE COMPLETE
    When the plan is applied
    Then the watch tells of a plan that is APPLY APPLIED
    And the watch ends by itself

  Scenario: A watch until the plan rests, through the other instance
    Given another plan service West
    And the action demo/slow
      | step | slow | reach begun; await go; echo said |
    And a plan of demo/slow on shop
    When the plan is executed
    And "begun" is reached
    And callers turn to West
    And someone watches the plan until it rests
    Then the watch tells of a plan that is EXECUTE PROCESSING
    When "go" is given
    Then the watch tells that slow wrote "said\n"
    And the watch tells of a plan that is EXECUTE COMPLETE
    And the watch ends by itself

  Scenario: Of much output the end is kept
    Given the action demo/loud
      | step | loud | head -c 67108860 /dev/zero; echo end |
    And a plan of demo/loud on shop
    When the plan is executed
    Then the plan becomes EXECUTE COMPLETE within 60 s
    And loud wrote 67108864 bytes, of which at most 65536 are kept, and the last are "end\n"

  Scenario: Output that is no text
    Given the action demo/bytes
      | step | bytes | printf '\\377\\000\\033[31m' |
    And a plan of demo/bytes on shop, executed
    Then bytes wrote 7 bytes, of which at most 65536 are kept, and the last are "[31m"

  # === beside each other ===

  Scenario: Steps of a group run beside each other
    Given the action demo/meet
      | step | left  | reach left; await right; echo left > left.txt   | group=both |
      | step | right | reach right; await left; echo right > right.txt | group=both |
      | step | after | cat left.txt right.txt > after.txt              |            |
    And a plan of demo/meet on shop, executed
    Then after.txt on the plan's branch is "left\nright\n"
    And the plan's branch has the commits of "left, right, after"

  Scenario: Steps without a group run one after the other
    Given the action demo/order
      | step | one   | echo one begins >> "$OUT/log"; sleep 0.1; echo one ends >> "$OUT/log"     |
      | step | two   | echo two begins >> "$OUT/log"; sleep 0.1; echo two ends >> "$OUT/log"     |
    And a plan of demo/order on shop, executed
    Then "log" holds the lines "one begins, one ends, two begins, two ends"

  Scenario: A group is as wide as --max-parallel-steps
    Given another plan service West with "--max-parallel-steps 1"
    And callers turn to West
    And the action demo/order
      | step | one   | echo one begins >> "$OUT/log"; sleep 0.1; echo one ends >> "$OUT/log" | group=both |
      | step | two   | echo two begins >> "$OUT/log"; sleep 0.1; echo two ends >> "$OUT/log" | group=both |
    And a plan of demo/order on shop, executed
    Then "log" holds the lines "one begins, one ends, two begins, two ends"

  Scenario: Steps beside each other do not see each other's files
    Given the action demo/apart
      | step | left  | echo left > left.txt; reach left; await right; test ! -e right.txt   | group=both |
      | step | right | echo right > right.txt; reach right; await left; test ! -e left.txt  | group=both |
    And a plan of demo/apart on shop, executed
    Then the plan's branch changes only left.txt and right.txt

  Scenario: Steps beside each other that change the same places
    Given the action demo/clash
      | step | left  | echo left > same.txt  | group=both |
      | step | right | echo right > same.txt | group=both |
    And a plan of demo/clash on shop
    When the plan is executed
    Then the plan becomes EXECUTE ERRORED by STEPS_CONFLICT in right
    And the problem names the files "same.txt"
    And the steps are "left COMPLETE, right FAILED"

  # === what it changes ===

  Scenario: Every kind of change is recorded as what it is
    Given the action
      """
      name = "demo/kinds"

      [[steps]]
      name = "kinds"
      argv = ["sh", "-c", '''
        echo new > new.txt
        echo more >> one.txt
        rm dir/three.txt
        mv two.txt renamed.txt
        chmod +x tool.sh
        head -c 2000 /dev/zero > zero.bin
        rm README.md; ln -s one.txt README.md
        printf x > "$(printf 'odd-\377.txt')"
        printf 'caf\351\n' > latin.txt
        printf x > 'back\slash.txt'
        printf x > "$(printf 'tab\tbed.txt')"
      ''']
      """
    And a plan of demo/kinds on shop, executed
    Then the changes of kinds are
      | ADDED        | new.txt        |
      | MODIFIED     | one.txt        |
      | DELETED      | dir/three.txt  |
      | RENAMED      | renamed.txt    |
      | MODE_CHANGED | tool.sh        |
      | ADDED        | zero.bin       |
      | TYPE_CHANGED | README.md      |
      | ADDED        | odd-\\377.txt  |
      | ADDED        | latin.txt      |
      | ADDED        | back\\\\slash.txt |
      | ADDED        | tab\\011bed.txt |
    And the change of renamed.txt tells that it was two.txt
    And the change of tool.sh tells the modes 100644 and 100755
    And the change of zero.bin tells that it is binary
    And the change of one.txt tells 1 added and 0 removed lines
    And the change of odd-\377.txt tells its bytes, "odd-\xff.txt"
    And the change of back\\slash.txt tells its bytes, "back\\slash.txt"
    And the change of tab\011bed.txt tells its bytes, "tab\tbed.txt"
    And the change of new.txt is told as it is
    And the diff tells of the same changes
    And the diff is what git shows between the plan's base and its branch
    When the plan is applied
    Then the plan becomes APPLY APPLIED
    And the work tree of shop is clean

  Scenario: Of many files the diff names the first, and counts all
    Given the action demo/many
      | step | many | mkdir many; cd many; seq -f %05.0f.txt 10050 \| xargs touch |
    And a plan of demo/many on shop, executed
    Then the diff names 10000 files of 10050

  Scenario: Many who ask for a diff take turns
    Given another plan service West, whose git makes no patch before "go" is given
    And callers turn to West
    And the action demo/edit
      | step | edit | echo more >> one.txt |
    And a plan of demo/edit on shop, executed
    When 12 ask for the diff at the same moment
    And 4 patches are begun
    And "go" is given
    Then all of them get the same diff
    And no more than 4 patches were made at a time

  Scenario: What a step commits itself is its change all the same
    Given the action demo/commits
      | step | commits | echo 1 > 1.txt; git add 1.txt; git -c user.name=x -c user.email=x@x commit -qm own; echo 2 > 2.txt |
      | step | after   | echo 3 > 3.txt                                                                                   |
    And a plan of demo/commits on shop, executed
    Then the plan's branch has the commits of "commits, after"
    And the changesets are
      | commits | ADDED 1.txt, ADDED 2.txt |
      | after   | ADDED 3.txt              |

  Scenario: A step that goes to another branch does not take the plan with it
    Given the action demo/strays
      | step | strays | git checkout -q -b elsewhere; echo 1 > 1.txt |
      | step | after  | echo 2 > 2.txt                               |
    And a plan of demo/strays on shop, executed
    Then the plan's branch has the commits of "strays, after"
    And main of shop is where it was
    And the work tree of shop is clean

  Scenario: Ignored files are no changes, and the next step does not find those of others
    Given someone commits "*.log" as .gitignore to shop
    And the action demo/ignores
      | step | writes | echo x > noise.log; echo y > kept.txt |
    And a plan of demo/ignores on shop, executed
    Then the changesets are
      | writes | ADDED kept.txt |

  Scenario Outline: A link that leads out of the project: <what>
    Given the action demo/link
      | step | link | <script> |
    And a plan of demo/link on shop
    When the plan is executed
    Then the plan becomes EXECUTE ERRORED by LINK_LEADS_OUT in link
    And the problem names the files "<file>"
    And there are no changesets
    And shop is as it was

    Examples:
      | what                    | script                                      | file      |
      | to an absolute path     | ln -s /etc/passwd out                       | out       |
      | up and out              | ln -s ../../elsewhere dir/out               | dir/out   |
      | and is written through  | ln -s "$OUT" out; echo x > out/written      | out       |

  Scenario: A link that stays inside is a file like others
    Given the action demo/link
      | step | link | ln -s ../one.txt dir/in; ln -s dir also-in |
    And a plan of demo/link on shop, executed
    Then the changesets are
      | link | ADDED also-in, ADDED dir/in |
