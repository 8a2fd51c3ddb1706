# SPDX-License-Identifier: MIT
# Helpers of source.bats.

# Prints each link of the Markdown files below the arguments whose target does not exist.
broken_links() {
	find "$@" -name '*.md' | while IFS= read -r file; do
		grep -oE '\]\([^)#: ]+' "$file" | cut -c3- | while IFS= read -r target; do
			[ -e "$(dirname "$file")/$target" ] || printf '%s: %s\n' "$file" "$target"
		done
	done
}
