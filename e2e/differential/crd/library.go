package crd

import (
	"fmt"
	"maps"
	"slices"

	"sampan.dev/e2e/differential/ask"
)

// expressions call every function of the libraries that rules may use. Each is of type string, and is asked for as the message of
// a rule that never holds: the causes of one answer tell all values.
var expressions = map[string][]string{
	"standard": {
		"string(self.i + 1) + string(self.d * 2.0) + string(self.i / 2) + string(self.i % 4) + string(-self.i)", "string(self.s.size()) + string(self.l.size()) + string(self.m.size())",
		"string(self.s == 'Hello, World') + string(self.i < 3 || self.d > 1.0) + string('a' in self.l) + string('k' in self.m)", "self.l[0] + self.m['k']",
		"string(self.s.contains('lo')) + string(self.s.startsWith('He')) + string(self.s.endsWith('x')) + string(self.s.matches('^H.*d$'))",
		"string(int('12')) + string(int(2.9)) + string(uint(3)) + string(double('1.5')) + string(bool('true')) + string(bytes('ab'))", "string(type(self.i) == int) + string(dyn(self.i) == 7.0)",
		"string(has(self.s)) + string(has(self.none))", "string(self.l.all(x, x.size() == 1)) + string(self.l.exists(x, x == 'b')) + string(self.l.exists_one(x, x == 'b'))",
		"self.l.map(x, x + x).join(',')", "self.l.filter(x, x != 'a').join(',')", "self.l.map(x, x != 'a', x + '!').join()", "self.b ? 'yes' : 'no'",
		"string(timestamp('2020-02-03T04:05:06.789Z').getFullYear()) + string(timestamp('2020-02-03T04:05:06Z').getMonth()) + string(timestamp('2020-02-03T04:05:06Z').getDayOfYear())",
		"string(self.t.getDate()) + string(self.t.getDayOfMonth()) + string(self.t.getDayOfWeek()) + string(self.t.getHours('Asia/Tokyo')) + string(self.t.getMinutes()) + string(self.t.getSeconds()) + string(self.t.getMilliseconds())",
		"string(self.u.getHours()) + string(self.u.getMinutes()) + string(self.u.getSeconds()) + string(self.u.getMilliseconds())", "string(self.t + duration('1h')) + string(self.t - timestamp('2020-01-01T00:00:00Z'))",
		"string([1, 2] + [3] == [1, 2, 3]) + string({'a': 1}['a'])", "string(self.e) + string(self.y)", "string(1u + 2u) + string(b'ab' + b'c' == b'abc')", "string(duration('90m'))", "'a' + \"b\" + r'\\n' + '''c'''",
	},
	"strings": {
		"self.s.charAt(4)", "string(self.s.indexOf('o')) + string(self.s.indexOf('o', 5)) + string(self.s.lastIndexOf('o')) + string(self.s.lastIndexOf('o', 6))", "self.s.lowerAscii() + self.s.upperAscii()",
		"self.s.replace('l', 'L') + self.s.replace('l', 'L', 1)", "self.s.split(', ').join('|') + self.s.split('o', 2).join('|')", "self.s.substring(7) + self.s.substring(0, 5)", "'  x '.trim()", "self.l.join() + self.l.join('-')",
		"self.s.reverse()", "strings.quote(self.s + '\"')", "'%s %d %.2f %x %b %o %e'.format([self.s, self.i, self.d, self.i, self.i, self.i, self.d])", "'%s %s %s'.format([self.l, self.m, self.b])",
	},
	"lists": {
		"string(self.n.isSorted()) + string(self.n.sum()) + string(self.n.min()) + string(self.n.max()) + string(self.n.indexOf(2)) + string(self.n.lastIndexOf(2))", "string(self.l.indexOf('b'))",
		"self.l.slice(0, 1).join()", "string([[1], [2, 3]].flatten() == [1, 2, 3])", "string(self.n.sort() == [1, 2, 2, 3])", "string(self.n.sortBy(x, -x))", "string(self.n.distinct().size())", "self.l.reverse().join()", "string(lists.range(3) == [0, 1, 2])",
		"string(self.n.first().hasValue()) + string(self.n.last().orValue(0))",
	},
	"regex": {"self.s.find('[a-z]+')", "self.s.findAll('[a-z]+').join(',')", "self.s.findAll('[a-z]+', 1).join(',')", "string('abc'.matches('b'))"},
	"urls": {
		"url('https://u@h.org:80/p/q?a=b&a=c#f').getScheme()", "url('https://h.org:80/p/q').getHost()", "url('https://h.org:80/p/q').getHostname() + url('https://h.org:80/p').getPort() + url('https://h.org/p%20q').getEscapedPath()",
		"url('https://h/?a=b&a=c').getQuery()['a'].join(',')", "string(isURL('https://a.b/')) + string(isURL('a b'))",
	},
	"quantity": {
		"string(isQuantity('1.5Gi')) + string(isQuantity('x'))", "string(quantity('1.5Gi').asInteger() > 0) + string(quantity('1.5').isInteger())", "string(quantity('50k').asApproximateFloat())", "string(quantity('1k').sign()) + string(quantity('1k').compareTo(quantity('2k')))",
		"string(quantity('1k').isGreaterThan(quantity('1'))) + string(quantity('1k').isLessThan(quantity('1')))", "string(quantity('1k').add(quantity('1')) == quantity('1001')) + string(quantity('1k').sub(1).asInteger())",
	},
	"ip": {
		"string(isIP('10.0.0.1')) + string(isIP('x')) + string(ip('::1').family())", "string(ip('127.0.0.1').isLoopback()) + string(ip('0.0.0.0').isUnspecified()) + string(ip('224.0.0.1').isLinkLocalMulticast()) + string(ip('169.254.1.1').isLinkLocalUnicast()) + string(ip('1.1.1.1').isGlobalUnicast())",
		"string(ip.isCanonical('::0001')) + string(ip('fe80::1'))", "string(isCIDR('10.0.0.0/8')) + string(cidr('10.0.0.0/8').containsIP('10.1.2.3')) + string(cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')) + string(cidr('10.1.0.0/8').masked()) + string(cidr('10.0.0.0/8').prefixLength()) + string(cidr('10.0.0.0/8').ip())",
	},
	"format": {
		"string(format.named('dns1123Label').hasValue())", "string(!format.dns1123Label().validate('a_b').hasValue())", "format.dns1123Subdomain().validate('A').value()[0]", "string(format.uuid().validate('x').value()) + string(format.date().validate('2020-01-01').hasValue())",
	},
	"semver": {
		"string(isSemver('1.2.3')) + string(isSemver('v1.2')) + string(isSemver('v1.2', true))", "string(semver('1.2.3').major()) + string(semver('1.2.3').minor()) + string(semver('1.2.3').patch())", "string(semver('1.2.3').compareTo(semver('1.3.0'))) + string(semver('1.2.3').isLessThan(semver('1.3.0')))",
	},
	"optional": {
		"self.?none.orValue('absent')", "self.?s.orValue('absent')", "string(self.?none.hasValue()) + self.m[?'k'].orValue('') + self.m[?'z'].orValue('zz') + self.l[?9].orValue('nine')", "optional.of('x').optMap(y, y + y).value() + optional.none().orValue('n')", "string([?self.?none, 'a'].size())", "optional.ofNonZeroValue('').or(optional.of('o')).value()",
		"optional.of('x').optFlatMap(y, optional.of(y + '!')).value()",
	},
	"sets":  {"string(sets.contains(self.l, ['a'])) + string(sets.equivalent(self.l, ['b', 'a'])) + string(sets.intersects(self.l, ['z']))"},
	"json":  {"base64.encode(b'ab') + string(base64.decode('YWI='))"},
	"math":  {"string(math.greatest(1, 2, 3)) + string(math.least(self.i, 3)) + string(math.abs(-3)) + string(math.ceil(1.2)) + string(math.bitAnd(6, 3)) + string(math.sign(-2)) + string(math.isNaN(0.0/0.0))", "string(math.floor(1.7)) + string(math.round(1.5)) + string(math.trunc(-1.5)) + string(math.sqrt(4)) + string(math.bitShiftLeft(1, 3))"},
	"two":   {"string(self.l.all(i, x, i < 5)) + string(self.m.exists(k, v, k == v))", "self.l.transformList(i, x, x + string(i)).join()", "self.m.transformMap(k, v, v + v)['k']", "string([1, 2].existsOne(i, x, x == 1))", "string(cel.bind(x, self.i, x + x))"},
	"types": {"string(type(self.x)) + string(type(self.e))", "string(self.x == 5 || self.x == 'five')", "string(self.in.metadata.name)", "string(self.in.kind)", "string(self.un__dash__der) + string(self.__namespace__)", "string(self.p.size())"},
	"fails": {"string(1 / (self.i - 7))", "self.l[9]", "self.m['z']", "string(int('x'))", "string(timestamp('x'))", "string(9223372036854775807 + self.i)", "self.x + 1 == 3 ? 'a' : 'b'", "self.s.charAt(99)", "string(quantity('x'))", "string(ip('x'))"},
}

// subject is a schema that has something of each type, and subjectValue an object of it.
var subject = node{"type": "object", "properties": node{
	"s": node{"type": "string", "maxLength": 50}, "i": node{"type": "integer"}, "d": node{"type": "number"}, "b": node{"type": "boolean"}, "none": node{"type": "string", "maxLength": 10},
	"l": node{"type": "array", "maxItems": 5, "items": node{"type": "string", "maxLength": 10}}, "n": node{"type": "array", "maxItems": 5, "items": node{"type": "integer"}},
	"m": node{"type": "object", "maxProperties": 5, "additionalProperties": node{"type": "string", "maxLength": 10}},
	"t": node{"type": "string", "format": "date-time"}, "u": node{"type": "string", "format": "duration"}, "y": node{"type": "string", "format": "byte", "maxLength": 20}, "e": node{"type": "string", "enum": []any{"on", "off"}},
	"x": node{"x-kubernetes-int-or-string": true}, "in": node{"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
	"un-der": node{"type": "string", "maxLength": 10}, "namespace": node{"type": "string", "maxLength": 10}, "p": node{"type": "object", "maxProperties": 3, "additionalProperties": node{"type": "integer"}},
}}

var subjectValue = node{
	"s": "Hello, World", "i": 7, "d": 1.5, "b": true, "l": []any{"a", "b"}, "n": []any{1, 2, 2, 3}, "m": node{"k": "v"}, "t": "2020-02-03T04:05:06.789Z", "u": "1h2m3s", "y": "YWI=", "e": "on", "x": 5,
	"in": node{"apiVersion": "v1", "kind": "ConfigMap", "metadata": node{"name": "inner"}}, "un-der": "u", "namespace": "ns", "p": node{"a": 1},
}

// libraries are the cases of expressions, one for each library, and one for each expression that may not be accepted: a definition
// is refused as a whole.
func libraries() []ask.Case {
	var out []ask.Case
	for _, name := range slices.Sorted(maps.Keys(expressions)) {
		for i, e := range expressions[name] {
			p := placeOf(fmt.Sprintf("cel-%s-%d", name, i))
			spec := with(subject, "x-kubernetes-validations", []any{node{"rule": "self.i == 0", "messageExpression": e}})
			def := p.definition(node{"type": "object", "properties": node{"spec": spec}}, nil)
			out = append(out, p.wrap("cel "+name+": "+e, def,
				ask.Post(p.path(), p.object("a", node{"spec": subjectValue})),
				ask.Post(p.path(), p.object("b", node{"spec": with(subjectValue, "i", 0)})),
				ask.Merge(p.path()+"/b", node{"spec": node{"i": 2}}),
			))
		}
	}
	return out
}
