package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"sampan.dev/e2e/differential/ask"
	"sampan.dev/e2e/differential/crd"
	"sampan.dev/e2e/differential/kinds"
)

// topics are the kinds of cases. Each makes about count requests from a seed.
var topics = map[string]func(seed uint64, count int) []ask.Case{
	"crd": crd.Cases, "batch": kinds.Cases("batch"), "apps": kinds.Cases("apps"), "policy": kinds.Cases("policy"),
	"networking": kinds.Cases("networking"), "other": kinds.Cases("other"), "volumes": kinds.Cases("volumes"),
	"storage": kinds.Cases("storage"), "devices": kinds.Cases("devices"), "certificates": kinds.Cases("certificates"),
}

func main() {
	peer := flag.String("peer", "", "kubeconfig of the stock API server")
	sampan := flag.String("sampan", "", "kubeconfig of sampan; none: only record")
	topic := flag.String("topic", "crd", "which cases")
	seed := flag.Uint64("seed", 1, "of everything that is random")
	count := flag.Int("count", 100, "how many cases")
	only := flag.String("only", "", "only the case of this name")
	record := flag.String("record", "", "file for what the peer said, a case a line")
	atOnce := flag.Int("at-once", 4, "cases at the same time")
	flag.Parse()
	bad, err := run(*peer, *sampan, *topic, *seed, *count, *only, *record, *atOnce)
	if err != nil {
		fmt.Fprintln(os.Stderr, "differential:", err)
	}
	if err != nil || bad > 0 {
		os.Exit(1)
	}
}

func run(peerFile, sampanFile, topic string, seed uint64, count int, only, record string, atOnce int) (bad int, err error) {
	make := topics[topic]
	if make == nil {
		return 0, fmt.Errorf("no topic %q", topic)
	}
	peer, err := ask.Open("peer", peerFile)
	if err != nil {
		return 0, err
	}
	var sampan *ask.Server
	if sampanFile != "" {
		if sampan, err = ask.Open("sampan", sampanFile); err != nil {
			return 0, err
		}
	}
	cases := make(seed, count)
	if only != "" {
		cases = one(cases, only)
	}
	var out io.Writer = io.Discard
	if record != "" {
		f, err := os.Create(record)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		out = f
	}
	asked, explained := 0, 0
	err = ask.Run(context.Background(), peer, sampan, cases, atOnce, func(o ask.Outcome) {
		asked++
		json.NewEncoder(out).Encode(o.Recorded())
		if sampan == nil || !o.Differs() {
			return
		}
		if printed := o.String(); why(printed) == "" {
			bad++
			fmt.Println(printed)
		} else {
			explained++
		}
	})
	fmt.Printf("%s, seed %d: %d cases, %d requests, %d differences, %d known\n", topic, seed, len(cases), asked, bad, explained)
	return bad, err
}

func one(cases []ask.Case, name string) []ask.Case {
	for _, c := range cases {
		if c.Name == name {
			return []ask.Case{c}
		}
	}
	return nil
}
