// Package podtest reads pods and quantities that tests write down in a line. It has no data and runs nothing; only tests import it.
package podtest
