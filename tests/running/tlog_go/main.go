// Checks a log that Keyledger wrote, with the packages behind Go's checksum database, and answers what they make of it.
//
// It is given a directory with checkpoint, key, proofs.json and tile/, and prints JSON. It says on stderr what is wrong,
// and exits with 1, at the first thing that is.
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

type proofs struct {
	Inclusion []struct {
		Index int64
		Size  int64
		Root  tlog.Hash
		Leaf  tlog.Hash
		Proof []tlog.Hash
	}
	Consistency []struct {
		Old, New         int64
		OldRoot, NewRoot tlog.Hash
		Proof            []tlog.Hash
	}
}

type answer struct {
	Inclusion   []tlog.RecordProof
	Consistency []tlog.TreeProof
	Note        string
}

// files reads tiles from a directory.
type files string

func (dir files) Height() int { return height }

// path is where C2SP serves a tile. Go's paths begin with the height, and call the entries data.
func (dir files) path(tile tlog.Tile) string {
	path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
	return strings.Replace(path, "tile/data/", "tile/entries/", 1)
}

func (dir files) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		data, err := os.ReadFile(filepath.Join(string(dir), dir.path(tile)))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (dir files) SaveTiles([]tlog.Tile, [][]byte) {}

func must(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

func read(dir, name string) []byte {
	data, err := os.ReadFile(filepath.Join(dir, name))
	must(name, err)
	return data
}

// open verifies the checkpoint and gives what it states.
func open(dir string) (string, tlog.Tree) {
	verifier, err := note.NewVerifier(string(read(dir, "key")))
	must("key", err)
	opened, err := note.Open(read(dir, "checkpoint"), note.VerifierList(verifier))
	must("checkpoint", err)
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must("size", err)
	root, err := tlog.ParseHash(lines[2])
	must("root", err)
	return opened.Text, tlog.Tree{N: size, Hash: root}
}

// row gives the tiles of one level that together have so many hashes or entries.
func row(level int, count int64) []tlog.Tile {
	var all []tlog.Tile
	for first := int64(0); first < count; first += 1 << height {
		width := count - first
		if width > 1<<height {
			width = 1 << height
		}
		all = append(all, tlog.Tile{H: height, L: level, N: first >> height, W: int(width)})
	}
	return all
}

// entries gives the entries of a tree from their bundles.
func entries(dir string, size int64) [][]byte {
	var all [][]byte
	for _, bundle := range row(-1, size) {
		data := read(dir, files(dir).path(bundle))
		for len(data) > 0 {
			end := 2 + int(binary.BigEndian.Uint16(data))
			all = append(all, data[2:end])
			data = data[end:]
		}
	}
	return all
}

// rebuild makes the tree anew from its entries, and compares its root and all its tiles. Reading tiles alone would not
// do: the TileHashReader of this version leaves some of them unauthenticated.
func rebuild(dir string, tree tlog.Tree) {
	var stored []tlog.Hash
	reader := tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var hashes []tlog.Hash
		for _, index := range indexes {
			hashes = append(hashes, stored[index])
		}
		return hashes, nil
	})
	for index, entry := range entries(dir, tree.N) {
		hashes, err := tlog.StoredHashes(int64(index), entry, reader)
		must("entries", err)
		stored = append(stored, hashes...)
	}
	root, err := tlog.TreeHash(tree.N, reader)
	must("entries", err)
	if root != tree.Hash {
		must("entries", fmt.Errorf("their root is %v", root))
	}
	for level := 0; tree.N>>(height*level) > 0; level++ {
		for _, tile := range row(level, tree.N>>(height*level)) {
			data, err := tlog.ReadTileData(tile, reader)
			must("tiles", err)
			if !bytes.Equal(data, read(dir, files(dir).path(tile))) {
				must("tiles", fmt.Errorf("%s is another", files(dir).path(tile)))
			}
		}
	}
}

func main() {
	dir := os.Args[1]
	text, tree := open(dir)
	rebuild(dir, tree)
	reader := tlog.TileHashReader(tree, files(dir))

	var given proofs
	must("proofs.json", json.Unmarshal(read(dir, "proofs.json"), &given))
	var made answer
	for _, each := range given.Inclusion {
		must("inclusion", tlog.CheckRecord(each.Proof, each.Size, each.Root, each.Index, each.Leaf))
		proof, err := tlog.ProveRecord(each.Size, each.Index, reader)
		must("inclusion", err)
		made.Inclusion = append(made.Inclusion, proof)
	}
	for _, each := range given.Consistency {
		must("consistency", tlog.CheckTree(each.Proof, each.New, each.NewRoot, each.Old, each.OldRoot))
		proof, err := tlog.ProveTree(each.New, each.Old, reader)
		must("consistency", err)
		made.Consistency = append(made.Consistency, proof)
	}

	signer, err := note.NewSigner(string(read(dir, "signer")))
	must("signer", err)
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	must("sign", err)
	made.Note = string(signed)
	must("answer", json.NewEncoder(os.Stdout).Encode(made))
}
