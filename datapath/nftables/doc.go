// Package nftables is the rule language of nf_tables as nft 1.0.6 reads and prints it: tables with chains, sets, maps and
// counters, rules as typed expressions, and the transactions that change them.
//
//	text ──Parse──▶ []Command ──Ruleset.Apply──▶ Ruleset ──Print──▶ text
//
// Two dialects are printed: Native, a list of `add` commands as kube-proxy spells them, and List, what `nft list table`
// prints. Both are normalised: objects by kind and name, elements sorted, one to a line.
//
// A transaction is atomic, and what it may refer to, delete or redefine is decided as the kernel decides it
// (net/netfilter/nf_tables_api.c, v6.18; nft 1.0.6 in front of it). Chains and sets count who uses them, as there.
//
// Left out: flowtables, quotas, limits as objects, packet header expressions beyond the fixed fields of protocols (TCP flags,
// options, raw payload), concatenations of intervals in rules, and the checks of which statement may stand in which hook.
// What is left out is refused with an UnsupportedError that names it; nothing is passed over. Packets are not walked here:
// statements and expressions are plain types for an evaluator to read.
package nftables
