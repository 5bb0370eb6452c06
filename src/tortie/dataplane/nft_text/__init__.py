"""The model's values in the words of nftables: matches, sets of members, failsafes; and what a listing says.

Pure, and shared by all tables that we render: that of the nftables driver (`nftables`), and the one beside the eBPF
driver (`nft_egress`).
"""
