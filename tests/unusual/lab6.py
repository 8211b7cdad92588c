"""Right solutions of Lab 6 that few people would write."""

import bisect
import functools
import itertools
import math
import operator
import re
from collections import Counter, OrderedDict, defaultdict, deque
from fractions import Fraction

import numpy as np

from course import search as given
from course.search import Action, Node
from tests.unusual import unusual

STEP, FINISH, SUBQUESTION, REANSWER, REPHRASE = Action

# ---- uct ------------------------------------------------------------------------------------------------------------


@unusual("uct", "NumPy, division by zero taken as it comes")
def uct_by_numpy(node, weight):
    if not node.visits:
        return np.inf
    n, above = np.float64(node.visits), np.float64(node.parent.visits)
    return np.divide(node.total, n) + weight * np.sqrt(np.log(above) / n)


@unusual("uct", "one fraction, one line")
def uct_in_one_line(node, weight):
    n = node.visits
    return (node.total + weight * math.log(node.parent.visits) ** 0.5 * n**0.5) / n if n else float("inf")


@unusual("uct", "the exception makes the infinity, binary logarithms the natural one")
def uct_by_exception(node, weight):
    try:
        mean = node.total / node.visits
    except ZeroDivisionError:
        return math.inf
    return mean + weight * (math.log2(node.parent.visits) / math.log2(math.e) / node.visits) ** 0.5


# ---- select ---------------------------------------------------------------------------------------------------------


@unusual("select", "recursion")
def select_by_recursion(root, weight, rng):
    if not root.children:
        return root
    fresh = list(filter(lambda child: child.visits == 0, root.children))
    if fresh:
        return rng.choice(fresh)
    return select_by_recursion(max(root.children, key=lambda child: given.uct(child, weight)), weight, rng)


@unusual("select", "unvisited children known by their infinite bound, the best by NumPy's argmax")
def select_by_argmax(root, weight, rng):
    node = root
    while True:
        if node.children == []:
            return node
        bounds = np.array([given.uct(child, weight) for child in node.children])
        if np.isinf(bounds).any():
            return node.children[rng.choice(np.flatnonzero(np.isinf(bounds)).tolist())]
        node = node.children[int(np.argmax(bounds))]


@unusual("select", "a stable sort, the places drawn by randrange")
def select_by_sorting(root, weight, rng):
    node = root
    while node.children:
        fresh = sorted((child for child in node.children if not child.visits), key=node.children.index)
        if len(fresh) > 0:
            return fresh[rng.randrange(len(fresh))]
        node = sorted(node.children, key=lambda child: -given.uct(child, weight))[0]
    return node


# ---- backpropagate --------------------------------------------------------------------------------------------------


@unusual("backpropagate", "recursion")
def back_by_recursion(node, reward):
    if node:
        node.visits, node.total = node.visits + 1, node.total + reward
        back_by_recursion(node.parent, reward)


@unusual("backpropagate", "along the path, from the root down")
def back_along_the_path(node, reward):
    for above in node.path:
        above.total = reward + above.total
        above.visits = 1 + above.visits


@unusual("backpropagate", "the root first looked for, then all; something comes back")
def back_until_the_root(node, reward):
    node.visits += 1
    node.total += reward
    while node.parent is not None:
        node = node.parent
        node.visits += 1
        node.total += reward
    return node


# ---- exploration_weight ---------------------------------------------------------------------------------------------


@unusual("exploration_weight", "match")
def weight_by_match(rollout, rollouts, start, schedule):
    match schedule:
        case "constant":
            return start
        case "linear":
            return start - (start - start / 10) * rollout / rollouts
        case "exponential":
            return start * math.pow(10, -rollout / rollouts)
        case _:
            raise ValueError(schedule)


@unusual("exploration_weight", "NumPy between the two ends, straight or in logarithms")
def weight_by_interpolation(rollout, rollouts, start, schedule):
    ends = {"constant": [start, start], "linear": [start, start / 10], "exponential": [start, start / 10]}
    if schedule not in ends:
        raise ValueError("?")
    if schedule == "exponential":
        return np.exp(np.interp(rollout, [0, rollouts], np.log(ends[schedule])))
    return np.interp(rollout, [0, rollouts], ends[schedule])


@unusual("exploration_weight", "asked at the door, exp and ln")
def weight_by_exp(rollout, rollouts, start, schedule):
    if schedule in ("constant", "linear", "exponential"):
        s = Fraction(rollout, rollouts)
        return {
            "constant": float(start),
            "linear": start - 0.9 * start * float(s),
            "exponential": math.exp(math.log(start) - float(s) * math.log(10)),
        }[schedule]
    raise ValueError(f"no schedule called {schedule}")


# ---- majority_vote --------------------------------------------------------------------------------------------------


@unusual("majority_vote", "max over the answers in their order")
def vote_by_max(answers):
    some = [answer for answer in answers if answer is not None]
    return (max(some, key=some.count), some.count(max(some, key=some.count)) / len(answers)) if some else (None, 0)


@unusual("majority_vote", "counted by hand; a list comes back")
def vote_by_hand(answers):
    best, most, counts = None, 0, {}
    for answer in answers:
        if answer is not None:
            counts[answer] = counts.get(answer, 0) + 1
    for answer, count in counts.items():
        if count > most:
            best, most = answer, count
    return [best, most / len(answers) if answers else 0.0]


@unusual("majority_vote", "NumPy, the place of the first among equals")
def vote_by_numpy(answers):
    some = np.array([answer for answer in answers if answer is not None], dtype=float)
    if some.size == 0:
        return None, 0.0
    values, first, counts = np.unique(some, return_index=True, return_counts=True)
    i = min(np.flatnonzero(counts == counts.max()), key=lambda i: first[i])
    return values[i], counts[i] / len(answers)


# ---- allowed_actions ------------------------------------------------------------------------------------------------


@unusual("allowed_actions", "every action asked whether it may; a tuple comes back")
def actions_asked(node):
    may = {
        STEP: node.action is not FINISH,
        FINISH: node.action is not FINISH,
        SUBQUESTION: node.action not in (STEP, FINISH),
        REANSWER: node.action is SUBQUESTION,
        REPHRASE: node.action is None,
    }
    return tuple(action for action in Action if may[action] and not node.terminal)


@unusual("allowed_actions", "a table of digits")
def actions_by_digits(node):
    digits = {None: "1235", STEP: "12", FINISH: "", SUBQUESTION: "1234", REANSWER: "123", REPHRASE: "123"}
    return [list(Action)[int(i) - 1] for i in (digits[node.action] if not node.terminal else "")]


@unusual("allowed_actions", "a list from which is removed")
def actions_by_removal(node):
    actions = list(Action)
    if node.action is not None:
        actions.remove(REPHRASE)
    if node.action != SUBQUESTION:
        actions.remove(REANSWER)
    if node.action == STEP:
        actions.remove(SUBQUESTION)
    if node.action == FINISH or node.terminal is True:
        actions.clear()
    return actions


# ---- expand ---------------------------------------------------------------------------------------------------------


@unusual("expand", "children made whole, hung in without `add`")
def expand_by_hand(node, ask, depth):
    level = len(node.path)
    for action in given.allowed_actions(node):
        for texts in filter(None, ask(node, action)):
            votes = list(map(given.final_answer if action is FINISH else given.last_number, texts))
            winner, share = given.majority_vote(votes)
            text = next((text for text, vote in zip(texts, votes, strict=True) if vote == winner), texts[0])
            answer = given.final_answer(text)
            value, terminal = None, level >= depth
            if action is FINISH:
                terminal, node.guesses = True, list(votes)
            if answer is not None and action in {FINISH, SUBQUESTION}:
                value, terminal = share, True
            node.children.append(
                Node(parent=node, action=action, text=text, answer=answer, value=value, terminal=terminal)
            )


@unusual("expand", "all asked first, the children afterwards; the guesses written into the list that is there")
def expand_after_asking(node, ask, depth):
    found = [(action, texts) for action in given.allowed_actions(node) for texts in ask(node, action) if len(texts)]
    for action, texts in found:
        votes = [(given.last_number, given.final_answer)[action is FINISH](text) for text in texts]
        counts = Counter(vote for vote in votes if vote is not None).most_common()
        text = texts[votes.index(counts[0][0])] if counts else texts[0]
        child = Node(text, action, node)
        node.children.append(child)
        child.answer = given.final_answer(text)
        child.terminal = child.depth >= depth
        if action is FINISH or (action is SUBQUESTION and child.answer is not None):
            child.terminal = True
            if child.answer is not None:
                child.value = np.float64(counts[0][1]) / len(texts)
        if action is FINISH:
            node.guesses[:] = votes


@unusual("expand", "a function for each child")
def expand_by_functions(node, ask, depth):
    def child(action, texts):
        read = given.final_answer if action == Action.FINISH else given.last_number
        guesses = [read(text) for text in texts]
        if action == Action.FINISH:
            node.guesses = guesses
        winner, share = given.majority_vote(guesses)
        chosen = min(range(len(texts)), key=lambda i: (guesses[i] != winner, i))
        new = node.add(Node(action=action, text=texts[chosen], answer=given.final_answer(texts[chosen])))
        about = action in (Action.FINISH, Action.SUBQUESTION) and new.answer is not None
        new.value = {True: share, False: None}[about]
        new.terminal = any([action == Action.FINISH, about, new.depth >= depth])
        return new

    if not node.terminal:
        return [child(action, texts) for action in given.allowed_actions(node) for texts in ask(node, action) if texts]
    return []


# ---- simulate -------------------------------------------------------------------------------------------------------


@unusual("simulate", "recursion")
def simulate_by_recursion(node, expand, rng):
    if node.terminal:
        return node
    if not node.children:
        expand(node)
    return simulate_by_recursion(rng.choice(node.children), expand, rng) if node.children else node


@unusual("simulate", "an endless loop with three ways out")
def simulate_endless(node, expand, rng):
    while True:
        if node.terminal:
            return node
        if len(node.children) == 0:
            expand(node)
            if len(node.children) == 0:
                return node
        node = node.children[rng.randrange(0, len(node.children))]


@unusual("simulate", "a walk as a list")
def simulate_as_a_list(node, expand, rng):
    walk = [node]
    while walk[-1] is not None and not walk[-1].terminal:
        walk[-1].children or expand(walk[-1])
        walk.append(rng.choice(walk[-1].children) if walk[-1].children else None)
    return [node for node in walk if node is not None][-1]


# ---- search ---------------------------------------------------------------------------------------------------------


@unusual("search", "all four parts written out")
def search_written_out(question, expand, rollouts, start, schedule, rng):
    if not rollouts > 0:
        raise ValueError("no rollouts")
    root = Node(question)
    for k in range(rollouts):
        s = k / rollouts
        weight = start * {"constant": 1, "linear": 1 - 0.9 * s, "exponential": 0.1**s}[schedule]
        node = root
        while node.children and all(child.visits for child in node.children):
            node = max(node.children, key=lambda child, w=weight: given.uct(child, w))
        if node.children:
            node = rng.choice([child for child in node.children if not child.visits])
        while not node.terminal:
            if not node.children:
                expand(node)
            if not node.children:
                break
            node = rng.choice(node.children)
        for above in node.path:
            above.visits += 1
            above.total += node.value or 0
    return root


@unusual("search", "weights first, a recursion over them")
def search_by_recursion(question, expand, rollouts, start, schedule, rng):
    if rollouts < 1:
        raise ValueError(rollouts)
    weights = [given.exploration_weight(k, rollouts, start, schedule) for k in range(rollouts)]

    def after(root, weights):
        if weights:
            leaf = given.simulate(given.select(root, weights[0], rng), expand, rng)
            given.backpropagate(leaf, 0.0 if leaf.value is None else leaf.value)
            return after(root, weights[1:])
        return root

    return after(Node(action=None, text=question), weights)


@unusual("search", "a while loop that counts down")
def search_counting_down(question, expand, rollouts, start, schedule, rng):
    root, left = Node(action=None, text=question, parent=None), rollouts
    if left <= 0:
        raise ValueError(f"{rollouts} rollouts")
    while left:
        weight = given.exploration_weight(rollouts - left, rollouts, start, schedule)
        leaf = given.simulate(given.select(root, weight, rng), expand, rng)
        given.backpropagate(leaf, {None: 0.0}.get(leaf.value, leaf.value))
        left -= 1
    return root


# ---- collect_solutions ----------------------------------------------------------------------------------------------


@unusual("collect_solutions", "recursion")
def collect_by_recursion(root):
    own = [] if root.answer is None else [root]
    return [*own, *itertools.chain.from_iterable(map(collect_by_recursion, root.children))]


@unusual("collect_solutions", "a stack")
def collect_by_stack(root):
    stack, found = deque([root]), []
    while stack:
        node = stack.pop()
        if isinstance(node.answer, float):
            found.append(node)
        stack.extend(reversed(node.children))
    return found


@unusual("collect_solutions", "a generator inside; a tuple comes back")
def collect_by_generator(root):
    def below(node):
        if node.answer is not None:
            yield node
        for child in node.children:
            yield from below(child)

    return tuple(below(root))


# ---- prior_weight ---------------------------------------------------------------------------------------------------


@unusual("prior_weight", "a loop, backwards")
def prior_by_loop(path):
    *before, solution = path
    weight = 1.0
    for node in reversed(before):
        if node.guesses:
            weight *= Counter(node.guesses)[solution.answer] / len(node.guesses)
    return weight


@unusual("prior_weight", "NumPy, None as NaN")
def prior_by_numpy(path):
    arrays = [np.array(node.guesses, dtype=float) for node in path[:-1]]
    return np.prod([(guesses == path[-1].answer).mean() for guesses in arrays if guesses.size])


@unusual("prior_weight", "exact fractions")
def prior_by_fractions(path):
    shares = (Fraction(sum(g == path[-1].answer for g in n.guesses), len(n.guesses)) for n in path[:-1] if n.guesses)
    return float(functools.reduce(operator.mul, shares, Fraction(1)))


@unusual("prior_weight", "up by the parents, whatever the list")
def prior_by_parents(path):
    weight, node = 1, path[-1].parent
    while node is not None:
        weight *= sum(guess == path[-1].answer for guess in node.guesses) / len(node.guesses) if node.guesses else 1
        node = node.parent
    return weight


# ---- select_answer --------------------------------------------------------------------------------------------------


@unusual("select_answer", "a Counter")
def answer_by_counter(solutions):
    sums = Counter()
    for answer, weight in solutions:
        if answer is not None:
            sums[answer] += weight
    if not any(sums.values()):
        return None, 0.0
    (winner, most), *_ = sums.most_common(1)
    return winner, most / math.fsum(sums.values())


@unusual("select_answer", "groups after a stable sort by first occurrence")
def answer_by_groups(solutions):
    pairs = [pair for pair in solutions if pair[0] is not None]
    order = [answer for answer, _ in pairs]
    pairs.sort(key=lambda pair: order.index(pair[0]))
    groups = [(a, sum(w for _, w in some)) for a, some in itertools.groupby(pairs, key=lambda pair: pair[0])]
    whole = sum(w for _, w in groups)
    best = max(groups, key=lambda group: group[1], default=None)
    return (best[0], best[1] / whole) if whole > 0 else (None, 0)


@unusual("select_answer", "NumPy: a matrix of who agrees with whom")
def answer_by_numpy(solutions):
    pairs = [(answer, weight) for answer, weight in solutions if answer is not None]
    if not pairs:
        return None, 0.0
    answers, weights = np.array(pairs).T
    support = (answers[:, None] == answers) @ weights
    if weights.sum() == 0:
        return None, 0.0
    return answers[support.argmax()], support.max() / weights.sum()


@unusual("select_answer", "an ordered dict and a list of shares")
def answer_by_shares(solutions):
    whole = sum(weight for answer, weight in solutions if answer is not None) or 1.0
    shares = OrderedDict.fromkeys((answer for answer, _ in solutions if answer is not None), 0.0)
    for answer, weight in solutions:
        if answer in shares:
            shares[answer] += weight / whole
    best = max(shares.values(), default=0.0)
    return next(pair for pair in shares.items() if math.isclose(pair[1], best)) if best else (None, 0.0)


@unusual("select_answer", "a defaultdict, the winner by sorting")
def answer_by_sorting(solutions):
    sums, first = defaultdict(float), {}
    for i, (answer, weight) in enumerate(solutions):
        if answer is None:
            continue
        sums[answer] += weight
        first.setdefault(answer, i)
    if sum(sums.values()) == 0:
        return None, 0.0
    winner = sorted(sums, key=lambda answer: (-sums[answer], first[answer]))[0]
    return winner, sums[winner] / sum(sums.values())


# ---- weights_test ---------------------------------------------------------------------------------------------------


@unusual("weights_test", "one case, by hand")
def bug_by_hand(total):
    found = total([1, 2, 1, 3, 2, 1], [0.3, 5.0, 0.1, 0.7, 2.0, 4.0])
    return len(found) == 3 and all(abs(found[a] - s) < 1e-9 for a, s in ((1, 4.4), (2, 7.0), (3, 0.7)))


@unusual("weights_test", "powers of two, whose sums tell all that went in; strings for answers, tuples for lists")
def bug_by_powers(total):
    answers, weights = tuple("abacabadb"), tuple(2.0 ** ((5 * i) % 9) for i in range(9))
    found = {answer: round(float(value), 6) for answer, value in total(answers, weights).items()}
    return found == {a: sum(w for b, w in zip(answers, weights, strict=True) if a == b) for a in sorted(set(answers))}


@unusual("weights_test", "many random cases against NumPy")
def bug_by_chance(total):
    rng = np.random.default_rng(0)
    for _ in range(20):
        answers, weights = rng.integers(0, 4, 12), rng.random(12)
        found = total(answers.tolist(), weights.tolist())
        right = np.bincount(answers, weights)
        if sorted(found) != np.unique(answers).tolist() or not all(
            np.isclose(float(found[a]), right[a]) for a in found
        ):
            return np.bool_(False)
    return np.bool_(True)


@unusual("weights_test", "every weight moved on its own: the sums must follow, that of its answer only")
def bug_by_differences(total):
    answers, weights = ["x", "y", "x", "z", "y", "x"], [3.0, 1.0, 4.0, 1.5, 9.0, 2.6]
    before = dict(total(answers, weights))
    if len(before) != 3 or abs(float(sum(before.values())) - sum(weights)) > 1e-9:
        return False
    for i, answer in enumerate(answers):
        after = total(answers, [*weights[:i], weights[i] + 20, *weights[i + 1 :]])
        if any(abs(after[a] - before[a] - 20 * (a == answer)) > 1e-9 for a in before):
            return False
    return True


# ---- verify_step ----------------------------------------------------------------------------------------------------


@unusual("verify_step", "exact fractions, read from the text by an expression of its own")
def verify_by_fractions(text, known):
    number = r"(-?\d+(?:\.\d+)?)"
    allowed = {Fraction(str(value)).limit_denominator(10**6) for value in known}
    for a, sign, b, c in re.findall(rf"{number} ([-+*/]) {number} = {number}", text):
        a, b, c = Fraction(a), Fraction(b), Fraction(c)
        if not {a, b} <= allowed:
            return False
        if not {"+": a + b == c, "-": a - b == c, "*": a * b == c, "/": c * b == a and b != 0}[sign]:
            return False
        allowed |= {c}
    return True


@unusual("verify_step", "recursion over the equations")
def verify_by_recursion(text, known):
    def passes(some, known):
        if not some:
            return True
        (a, sign, b, c), *others = some
        if not (a in known and b in known) or (sign, b) == ("/", 0):
            return False
        value = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}[sign](a, b)
        return math.isclose(value, c, rel_tol=0.0, abs_tol=1e-9) and passes(others, known | {c})

    return passes(given.equations(text), frozenset(known))


@unusual("verify_step", "exceptions for everything that is wrong")
def verify_by_exceptions(text, known):
    known = [*known]
    try:
        for a, sign, b, c in given.equations(text):
            assert known.count(a) * known.count(b)
            found = eval(f"a {sign} b", {}, {"a": a, "b": b})
            assert abs(found - c) <= 1e-9
            bisect.insort(known, c)
    except (AssertionError, ZeroDivisionError):
        return False
    return True


@unusual("verify_step", "two passes: first the operands, then the arithmetic by NumPy")
def verify_in_two_passes(text, known):
    some = given.equations(text)
    for i, (a, _, b, _) in enumerate(some):
        if {a, b} - known - {c for *_, c in some[:i]}:
            return np.False_
    with np.errstate(all="ignore"):
        signs = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}
        return np.all([np.abs(signs[s](np.float64(a), b) - c) <= 1e-9 for a, s, b, c in some])


# ---- mask_path ------------------------------------------------------------------------------------------------------


@unusual("mask_path", "words found by an expression, islice")
def mask_by_islice(text, share):
    if not (share > 0 and share <= 1):
        raise ValueError(share)
    words = re.findall(r"\S+", text)
    return " ".join(itertools.islice(words, max(1, round(len(words) * share))))


@unusual("mask_path", "NumPy's rounding, the rest deleted")
def mask_by_deleting(text, share):
    if share <= 0 or share > 1:
        raise ValueError("a share lies above 0 and not above 1")
    words = re.sub(r"\s+", " ", text.strip()).split(" ")
    del words[max(1, int(np.round(share * len(words)))) :]
    return " ".join(words)


@unusual("mask_path", "word by word")
def mask_word_by_word(text, share):
    if 0 < share <= 1:
        words, kept = deque(text.split()), ""
        count = round(share * len(words)) or 1
        while words and count:
            kept, count = f"{kept} {words.popleft()}", count - 1
        return kept.lstrip()
    raise ValueError(f"{share} is no share")


# ---- mutually_consistent --------------------------------------------------------------------------------------------


@unusual("mutually_consistent", "a list of answers and its count")
def consistent_by_count(text, complete, shares=(0.2, 0.3, 0.4, 0.5), needed=2):
    own = given.final_answer(text)
    if own is None:
        return False, 0
    starts = list(map(functools.partial(given.mask_path, text), shares))
    answers = [given.final_answer(" ".join(both)) for both in zip(starts, complete(starts), strict=True)]
    return (answers.count(own) >= needed, answers.count(own) / len(answers))


@unusual("mutually_consistent", "NumPy, the mean of what agrees")
def consistent_by_numpy(text, complete, shares=(0.2, 0.3, 0.4, 0.5), needed=2):
    answer = given.final_answer(text)
    if answer is None:
        return np.bool_(False), 0.0
    prefixes = [given.mask_path(text, share) for share in shares]
    rests = complete(prefixes)
    found = [given.final_answer(prefixes[i] + " " + rests[i]) for i in range(len(rests))]
    agrees = np.array([np.nan if value is None else value for value in found]) == answer
    return agrees.sum() >= needed, agrees.mean()


@unusual("mutually_consistent", "words masked by hand; a list comes back")
def consistent_by_hand(text, complete, shares=(0.2, 0.3, 0.4, 0.5), needed=2):
    if "the answer is" not in text.lower():
        return [False, 0.0]
    words, agreed = text.split(), 0
    prefixes = [" ".join(words[: max(round(len(words) * share), 1)]) for share in shares]
    for rest, prefix in zip(complete(prefixes), prefixes, strict=True):
        agreed += given.final_answer(f"{prefix} {rest.strip()}") == given.final_answer(text)
    return [not agreed < needed, agreed / len(prefixes)]
