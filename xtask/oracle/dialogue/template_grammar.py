"""Random templates over the language that chat templates may use."""

VARIABLES = {
    "n": 7,
    "zero": 0,
    "neg": -3,
    "x": 2.5,
    "tiny": 1e-7,
    "s": "Hello, wide World",
    "blank": "",
    "padded": "  a b\tc \n",
    "lines": "one\ntwo\r\n\nthree é",
    "quoted": "it's \"so\" \\ \n\u00e9\u00df\U0001f600",
    "flag": True,
    "off": False,
    "nothing": None,
    "words": ["beta", "Alpha", "gamma", "alpha", "", "Beta"],
    "numbers": [3, 1, 2, 3, -1, 0],
    "mixed": [1, "a", None, 2.0, True, [1], {"k": "v"}],
    "pairs": [["a", 1], ["b", 2]],
    "empty": [],
    "d": {"b": 1, "a": "x", "items": [1], "nested": {"deep": [1, {"k": "v"}]}, "C": None},
    "people": [
        {"name": "Ann", "age": 30, "tags": ["x", "y"], "town": {"name": "Oslo"}},
        {"name": "bob", "age": 25, "tags": [], "town": {"name": "Rome"}},
        {"name": "Cy", "age": 30, "town": None},
        {"name": "ann", "age": 4, "tags": ["z"]},
    ],
}
STRINGS = ["s", "blank", "padded", "lines", "quoted", "bos_token"]
LISTS = ["words", "numbers", "mixed", "pairs", "empty", "people", "messages"]
INTEGERS = ["n", "zero", "neg"]
OTHERS = ["x", "tiny", "flag", "off", "nothing", "d", "tools", "documents", "unknown", "people[0]"]
LITERALS = {
    "str": ["'a'", "'b c'", '"It\'s"', "''", "'Alpha'", "'name'", "'x\\ny'", "'%s-%s'", "'{} {!r:>6}'",
            "'%05.1f|%-4d|%x'", "'a/b/c'", "'12'", "' 3.5 '", "'\u00c9t\u00e9 \u00df'", "'{0}{1[0]}'", "'<b>&'"],
    "int": ["0", "1", "2", "3", "10", "-1", "255", "1_000", "0x1F", "12345678901234567890123"],
    "float": ["0.5", "1.0", "2.675", "1e3", "1e22", "-0.1", "3.14159"],
    "bool": ["true", "false", "True", "False"],
    "none": ["none", "None"],
}
TESTS = ["defined", "undefined", "none", "boolean", "true", "false", "integer", "float", "number",
         "string", "mapping", "sequence", "iterable", "callable", "lower", "upper", "odd", "even",
         "escaped"]
TESTS_OF_ONE = ["divisibleby", "eq", "ne", "gt", "ge", "lt", "le", "sameas", "in", "equalto"]
ARITHMETIC = ["+", "-", "*", "/", "//", "%"]
COMPARISONS = ["==", "!=", "<", "<=", ">", ">=", "in", "not in"]
PRINTF = [
    "'%s and %r' % (s, lines)", "'%d%%' % n", "'%5.2f|%-8s|%+d' % (x, 'ab', n)", "'%x %X %o %#x' % (255, 255, 8, 16)",
    "'%(a)s %(b)03d' % d", "'%e %g %G' % (x, tiny, 12345678)", "'%c%c' % (65, 'b')", "'%s' % [1, 'a']",
    "'%s' % none", "'%.2s|%10.3s|' % (s, s)", "'% d|%05d' % (n, neg)", "'%*d' % (5, n)", "'%s' % d", "'%i' % x",
]
STRING_METHODS = [
    "upper()", "lower()", "title()", "capitalize()", "swapcase()", "casefold()", "strip()", "lstrip()",
    "rstrip()", "strip('a ')", "split()", "split(',')", "split(None, 1)", "split('l', 1)[0]",
    "rsplit(' ', 1)", "rsplit(None, 1)", "rsplit('o')", "splitlines()", "splitlines(true)",
    "partition(' ')", "rpartition('o')", "replace('l', 'L')", "replace('l', '', 1)", "replace('', '-')",
    "startswith('He')", "endswith(('d', '\\n'))", "startswith('e', 1)", "find('o')", "find('o', -4)",
    "rfind('o')", "index('l')", "rindex('l', 0, 9)", "count('l')", "count('')", "zfill(9)", "zfill(0)",
    "center(22, '*')", "center(9)", "ljust(20, '.')", "rjust(20)", "isdigit()", "isalpha()", "isalnum()",
    "isspace()", "isupper()", "islower()", "istitle()", "isidentifier()", "isnumeric()", "isdecimal()",
    "isascii()", "isprintable()", "removeprefix('Hel')", "removesuffix('d')", "join(words)",
    "join(['a', 'b'])", "format(1, 2)", "format(n, [4])", "format(*words)", "format(name='x')",
    "expandtabs(4)", "join(numbers)", "format_map(d)",
]
DICT_METHODS = ["items()", "keys()", "values()", "get('a')", "get('zz')", "get('zz', 5)", "copy()", "a", "nested.deep[1].k", "zz", "zz.yy", "keys()|list|length",
                "items()|list", "values()|list"]
LIST_METHODS = ["index(3)", "count(3)", "index('Alpha')", "copy()", "count('')", 
                "first", "0", "7"]
SLICES = ["[0]", "[-1]", "[1:]", "[:-1]", "[::2]", "[::-1]", "[-3:-1]", "[5:1:-2]", "[99]", "[:n]",
          "[1:3]", "['a']", "[none]", "[1.0]", "[true]", "[:none]"]
# Filters by the kind of value that they are made for.
FILTERS = {
    "any": [
        "default('D')", "default('D', true)", "d(0)", "default(boolean=true, default_value=9)", "string",
        "tojson", "e", "int(default=5)", "float(1)", "safe", "upper", "title", "trim", "forceescape",
    ],
    "str": [
        "capitalize", "center(11)", "count", "e", "escape", "first", "float", "format(1, 'b')", "indent",
        "indent(2, true)", "indent('> ', blank=true)", "int", "int(-1)", "int(0, 16)", "join('-')", "last",
        "length", "list", "lower", "map('upper')|list", "replace('a', 'b')", "replace('l', 'r', 1)",
        "reverse", "select('in', ['a', 'l'])|list", "striptags", "title", "tojson(ensure_ascii=true)", "trim",
        "trim('x H')", "truncate(9)", "truncate(9, true)", "truncate(5, true, '..', 0)", "unique|list",
        "truncate(12, end='', leeway=1)", "upper", "urlencode", "wordcount", "wordwrap(5)", "sort", "max",
        "wordwrap(12, false)", "wordwrap(4, wrapstring='/')", "attr('upper')()", "batch(2)|list", "groupby(0)",
    ],
    "number": [
        "abs", "filesizeformat", "filesizeformat(true)", "float", "int", "round", "round(1)",
        "round(1, 'floor')", "round(method='ceil')", "round(-1)", "round(2, 'ceil')", "string", "tojson",
    ],
    "list": [
        "batch(2)|list", "batch(4, 0)|list", "count", "first", "join", "join(', ')", "last", "length", "list",
        "reject('none')|list", "reject|list", "reverse|list", "select|list", "select('string')|list",
        "select('in', ['a', 1])|list", "slice(3)|list", "slice(4, 'f')|list", "tojson(indent=2)",
        "tojson(separators=(',', ':'))", "tojson(indent=1, separators=(';', '='))", "map('string')|join",
        "map('length')|list", "map('int', 2)|list", "map('default', '-', true)|list",
    ],
    "words": ["sort", "sort(reverse=true)", "sort(case_sensitive=true)", "unique|list", "unique(true)|list",
              "max", "min", "min(case_sensitive=true)", "map('upper')|list", "map(attribute=0)|list",
              "select('upper')|list", "map('replace', 'a', 'o')|join('+')", "map('truncate', 3)|list"],
    "numbers": ["sort", "sort(reverse=true)", "sum", "sum(start=10)", "max", "min", "unique|list",
                "select('odd')|list", "reject('gt', 1)|list", "map('abs')|list", "select('divisibleby', 3)|list"],
    "people": ["groupby('age')|list", "groupby('name', case_sensitive=true)", "join(attribute='age')",
               "groupby('town.name', default='-')", "join('-', 'name')", "map(attribute='name')|list",
               "map(attribute='tags.0', default='-')|join(',')", "max(attribute='age')",
               "rejectattr('tags')|map(attribute='name')|list", "selectattr('age', 'gt', 20)|list",
               "selectattr('town')|map(attribute='name')|join", "sort(attribute='age')", "sum(attribute='age')",
               "sort(attribute='age,name', case_sensitive=true)", "sum('age', 1)", "rejectattr('town', 'none')|list",
               "unique(attribute='age')|map(attribute='name')|list", "selectattr('tags', 'defined')|list",
               "map('items')|map('list')|list", "map('dictsort')|list"],
    "dict": ["dictsort", "dictsort(by='key')", "dictsort(true, reverse=true)", "items|list", "list", "length",
             "tojson(sort_keys=true)", "tojson(indent=2)", "attr('name')", "xmlattr", "string", "urlencode",
             "map('upper')|list", "attr('items')()|list"],
}
TARGETS = ["a", "b", "c", "n", "s", "item"]


class Grammar:
    """Writes one template by the choices of a random generator."""

    def __init__(self, choose):
        self.choose = choose
        self.names = []
        self.macros = []
        self.in_loop = 0
        self.in_macro = 0
        self.space = "ns"

    def one(self, options):
        return self.choose.choice(options)

    def chance(self, share):
        return self.choose.random() < share

    # Expressions.

    def atom(self, kind):
        if self.chance(0.03):
            kind = "any"
        if kind == "any":
            kind = self.one(["str", "str", "int", "list", "dict", "other", "float", "bool", "none"])
        if kind == "number":
            kind = self.one(["int", "int", "float", "bool"])
        if kind == "str":
            return self.one(STRINGS) if self.chance(0.55) else self.one(LITERALS["str"])
        if kind == "int":
            return self.one(INTEGERS) if self.chance(0.4) else self.one(LITERALS["int"])
        if kind == "list":
            return self.one(LISTS)
        if kind in ("words", "numbers", "people"):
            return kind
        if kind == "dict":
            return self.one(["d", "people[0]", "d.nested", "{}", "{'a': 1}", "dict(a=1, b=2)"])
        if kind == "other":
            return self.one(OTHERS)
        return self.one(LITERALS[kind])

    def expr(self, depth=2, kind="any"):
        """An expression whose value is often of a kind."""
        if depth <= 0:
            return self.atom(kind)
        if kind == "str":
            roll = self.choose.random()
            if roll < 0.35:
                return self.atom(kind)
            if roll < 0.7:
                return f"{self.simple(depth - 1, 'str')}.{self.one(STRING_METHODS[:20])}"
            return f"{self.simple(depth - 1)} ~ {self.simple(depth - 1)}"
        if kind != "any":
            return self.atom(kind)
        if self.names and self.chance(0.1):
            return self.one(self.names)
        roll = self.choose.random()
        if roll < 0.34:
            kind = self.one(list(FILTERS))
            chosen = self.one(FILTERS[kind if self.chance(0.97) else self.one(list(FILTERS))])
            return f"{self.simple(depth - 1, kind)}|{chosen}"
        if roll < 0.46:
            return f"{self.simple(depth - 1, 'str')}.{self.one(STRING_METHODS)}"
        if roll < 0.51:
            return f"{self.simple(depth - 1, 'dict')}.{self.one(DICT_METHODS)}"
        if roll < 0.53:
            return f"{self.simple(depth - 1, 'list')}.{self.one(LIST_METHODS)}"
        if roll < 0.60:
            # Jinja2 folds constants with other rules for slices, so only variables are cut.
            return f"{self.one(STRINGS + LISTS)}{self.one(SLICES)}"
        if roll < 0.68:
            return self.arithmetic(depth)
        if roll < 0.74:
            return self.comparison(depth)
        if roll < 0.81:
            return self.test(depth)
        if roll < 0.85:
            return f"{self.simple(depth - 1)} {self.one(['and', 'or'])} {self.expr(depth - 1)}"
        if roll < 0.89:
            return self.conditional(depth)
        if roll < 0.92:
            return f"{self.simple(depth - 1)} ~ {self.simple(depth - 1)}"
        if roll < 0.96:
            return self.collection(depth)
        return self.call(depth)

    def simple(self, depth, kind="any"):
        inner = self.expr(depth, kind)
        plain = inner.replace("_", "").isalnum()
        return inner if plain else f"({inner})"

    def arithmetic(self, depth):
        kind = self.one(["int", "int", "float", "str", "list"])
        if kind == "str" and self.chance(0.4):
            return f"{self.one(LITERALS['str'])} % {self.one(['n', '(1, 2)', '(n, 2, 3)', 's', 'd', '[1]', 'x', 'unknown'])}" if self.chance(
                0.3
            ) else f"{self.one(PRINTF)}"
        if kind in ("str", "list"):
            left = self.atom(kind)
            if self.chance(0.5):
                return f"{left} * {self.one(['2', '0', 'neg', 'n', '3'])}"
            return f"{left} + {self.atom(kind)}"
        if self.chance(0.12):
            # Roots of negative numbers are complex, which we refuse.
            return self.one([f"{self.atom('int')} ** {self.one(['2', '0', '3', '-1', '40'])}", "n ** 0.5", "2 ** x"])
        sign = self.one(["-", "+", "not ", ""]) if self.chance(0.2) else ""
        return (
            f"{sign}{self.simple(depth - 1, kind)} {self.one(ARITHMETIC)} "
            f"{self.simple(depth - 1, self.one(['int', 'float']))}"
        )

    def comparison(self, depth):
        kind = self.one(["number", "number", "str", "words", "numbers", "any"])
        signs = COMPARISONS if kind == "str" else ["==", "!="] if kind == "any" else COMPARISONS[:6]
        text = f"{self.simple(depth - 1, kind)} {self.one(signs)} {self.simple(depth - 1, kind)}"
        if self.chance(0.15):
            text += f" {self.one(signs[:6])} {self.atom(kind)}"
        return text

    def test(self, depth):
        negation = self.one(["", "", "not "])
        left = self.simple(depth - 1)
        if self.chance(0.3):
            kind = self.one(["number", "str", "any"])
            tests = ["eq", "ne", "equalto", "sameas"] if kind == "any" else TESTS_OF_ONE
            if kind == "number":
                tests = [test for test in tests if test != "in"]
            if kind == "str":
                tests = [test for test in tests if test != "divisibleby"]
            return f"{self.atom(kind)} is {negation}{self.one(tests)}({self.atom(kind)})"
        test = self.one(TESTS)
        left = self.atom("int") if test in ("odd", "even") else left
        return f"{left} is {negation}{test}"

    def conditional(self, depth):
        text = f"{self.simple(depth - 1)} if {self.expr(depth - 1)}"
        return text + (f" else {self.expr(depth - 1)}" if self.chance(0.7) else "")

    def collection(self, depth):
        items = [self.expr(depth - 1) for _ in range(self.choose.randrange(4))]
        shape = self.one(["list", "tuple", "dict"])
        if shape == "list":
            return f"[{', '.join(items)}]"
        if shape == "tuple":
            return f"({', '.join(items)},)" if items else "()"
        keys = [self.one(["'a'", "'b'", "1", "n", "s", "(1, 2)", "true"]) for _ in items]
        return "{" + ", ".join(f"{k}: {v}" for k, v in zip(keys, items)) + "}"

    def call(self, depth):
        roll = self.choose.random()
        if roll < 0.35 and self.macros:
            arguments = ", ".join(self.expr(depth - 1) for _ in range(self.choose.randrange(3)))
            named = self.one(["", "", "b=2", "zz=1", "*words[:1]", "**{'b': n}"])
            comma = ", " if arguments and named else ""
            return f"{self.one(self.macros)}({arguments}{comma}{named})"
        if roll < 0.6:
            return self.one(["range(4)", "range(1, 9, 3)", "range(5, 0, -2)", "range(n)[1:]", "range(3)|list"])
        if roll < 0.75:
            return self.one(["dict(d, z=1)", "dict(pairs)", "dict(a=n)", "namespace(q=1).q", "dict(words)"])
        if roll < 0.85:
            return self.one(["strftime_now('%Y-%m-%d')", "strftime_now('%d %B %Y, %H:%M')", "joiner('; ')()"])
        names = ["ns.count", "ns.zz"]
        if self.in_macro:
            names += ["varargs", "kwargs", "caller()"]
        if self.in_loop:
            names += ["loop.index", "loop.nothing"]
        return self.one(names)

    # Statements.

    def mark(self, tag):
        left, right = self.one(["", "", "-", "+"]), self.one(["", "", "-", "+"])
        return "{%" + left + f" {tag} " + right + "%}"

    def text(self):
        return self.one(["", " ", "\n", "text", " a ", "\n  ", "\n\n", "  x\n", "é", "{ } % #"])

    def body(self, depth, count=3):
        parts = []
        for _ in range(self.choose.randrange(1, count + 1)):
            parts.append(self.text())
            parts.append(self.statement(depth))
        parts.append(self.text())
        return "".join(parts)

    def scoped(self, depth, count=2):
        names = list(self.names)
        text = self.body(depth, count)
        self.names = names
        return text

    def statement(self, depth):
        roll = self.choose.random()
        if depth <= 0 or roll < 0.38:
            right = self.one(["", "", "-"])
            return "{{" + self.one(["", "", "-"]) + f" {self.expr()} " + right + "}}"
        if roll < 0.52:
            return self.assignment(depth)
        if roll < 0.66:
            return self.loop(depth)
        if roll < 0.78:
            return self.condition(depth)
        if roll < 0.84:
            return self.macro(depth)
        if roll < 0.87 and self.macros:
            signature = self.one(["", "", "(a)", "(a, b=1)"])
            tag = self.mark(f"call{signature} {self.one(self.macros)}({self.atom('any')})")
            return tag + self.scoped(depth - 1) + self.mark("endcall")
        if roll < 0.90:
            chosen = self.one(["upper", "trim", "replace('a', 'b')", "indent(3)", "upper|trim", "length|string"])
            return self.mark(f"filter {chosen}") + self.scoped(depth - 1) + self.mark("endfilter")
        if roll < 0.93:
            bindings = self.one(["", "a=1", "a=n, b=a", "(a, b)=(1, 2)", "s=words"])
            return self.mark(f"with {bindings}") + self.scoped(depth - 1) + self.mark("endwith")
        if roll < 0.95:
            return self.one(["{# note {{ x }} #}", "{#- a -#}", "{# b\n #}\n"])
        if roll < 0.97:
            return self.one(["{% raw %}{{ x }}{% endraw %}", "  {%- raw -%} {% if %}\n{%- endraw %}\n"])
        return self.mark("generation") + self.scoped(depth - 1) + self.mark("endgeneration")

    def assignment(self, depth):
        if self.chance(0.2):
            value = self.one(["ns.count + 1", "ns.count ~ 'x'", "n", self.expr()])
            return self.mark(f"set ns.count = {value}")
        name = self.one(TARGETS)
        if self.chance(0.2):
            chosen = self.one(["", "", " | upper", " | trim | length"])
            text = self.mark(f"set {name}{chosen}") + self.scoped(depth - 1) + self.mark("endset")
        elif self.chance(0.1):
            text = self.mark(f"set a, b = {self.one(['1, 2', 'pairs[0]', '(n, s)', 's[:2]'])}")
        else:
            text = self.mark(f"set {name} = {self.expr()}")
            if self.chance(0.5):
                text += "{{ " + name + " }}"
        self.names.append(name)
        return text

    def loop(self, depth):
        names = list(self.names)
        target, source = self.one([
            ("item", self.atom("list")), ("item", f"words|{self.one(FILTERS['words'])}"), ("item", "range(3)"),
            ("a, b", "d.items()"), ("a, b", "pairs"), ("item", "d"), ("item", "s"), ("a, b", "d|dictsort"),
            ("item", "empty"), ("message", "messages"), ("a, b", "people|groupby('age')"),
        ])
        test = self.one(["", "", "", f" if ({self.expr(1)})", " if item", " if item != n"])
        if "item" not in target:
            test = ""
        recursive = self.chance(0.06)
        tag = f"for {target} in {source}{test}{' recursive' if recursive else ''}"
        self.names += [name.strip() for name in target.split(",")]
        self.names += ["loop.index", "loop.first", "loop.last", "loop.length", "loop.revindex0",
                       "loop.previtem", "loop.nextitem|default('-')", "loop.cycle('a', 'b')",
                       "loop.changed(s)", "loop.depth", "loop.index0"]
        self.in_loop += 1
        text = self.mark(tag) + self.body(depth - 1, 2)
        if recursive and self.chance(0.7):
            text += "{% if loop.depth < 3 %}{{ loop(words[:2]) }}{% endif %}"
        elif self.chance(0.15):
            text += self.mark(f"if ({self.expr(1)})") + self.mark(self.one(["break", "continue"]))
            text += self.mark("endif") + self.text()
        self.in_loop -= 1
        self.names = names
        if self.chance(0.15):
            text += self.mark("else") + self.scoped(depth - 1)
        return text + self.mark("endfor")

    def condition(self, depth):
        text = self.mark(f"if ({self.expr()})") + self.body(depth - 1, 2)
        if self.chance(0.3):
            text += self.mark(f"elif ({self.expr()})") + self.body(depth - 1, 2)
        if self.chance(0.5):
            text += self.mark("else") + self.body(depth - 1, 2)
        return text + self.mark("endif")

    def macro(self, depth):
        name = self.one(["m", "f"])
        signature = self.one(["", "a", "a, b=1", "a='x', b=n", "b=a"])
        names, loops = list(self.names), self.in_loop
        self.names, self.in_loop, self.in_macro = ["a|default(0)", "b|default(0)"], 0, self.in_macro + 1
        extra = self.one(["", "", "{% if caller %}{{ caller() }}{% endif %}", "{{ varargs|length }}", "{{ kwargs }}",
                          "{% if caller %}{{ caller(1) }}{% endif %}"])
        text = self.mark(f"macro {name}({signature})") + self.body(depth - 1, 2) + extra
        self.names, self.in_loop, self.in_macro = names, loops, self.in_macro - 1
        self.macros.append(name)
        return text + self.mark("endmacro")

    def template(self):
        start = self.one(["{% set ns = namespace(count=1) %}\n", "{% set ns = namespace(count=0) %}", "{%- set ns = namespace(count=n) -%}\n"])
        end = self.one(["", "", "{{ ns.count }}", "{{ a }}{{ b }}{{ item }}", "\n", "\n\n"])
        return start + self.body(3, 3) + end
