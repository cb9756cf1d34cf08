package errtext

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// camel turns transaction_id into transactionID.
func camel(name string) string {
	words := strings.Split(name, "_")
	for i, w := range words[1:] {
		words[i+1] = strings.ToUpper(w[:1]) + w[1:]
		if w == "id" {
			words[i+1] = "ID"
		}
	}
	return strings.Join(words, "")
}

// Each table of the corpus has the kind and the numbers that its row expects.
func TestThinPoolCorpus(t *testing.T) {
	for _, r := range append(rows(t, "thinpool.jsonl"), rows(t, "tables.jsonl")...) {
		t.Run(r.ID, func(t *testing.T) {
			tables := Tables([]byte(r.Text))
			if len(tables) != 1 {
				t.Fatalf("%d tables, want 1: %+v", len(tables), tables)
			}
			text, err := json.Marshal(tables[0])
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
			for name, want := range r.Expect {
				if name == "verdict" { // for people
					continue
				}
				if is := got[camel(name)]; !reflect.DeepEqual(is, want) {
					t.Errorf("%s is %v, want %v\n%s", name, is, want, r.Text)
				}
			}
		})
	}
}

func TestTableVerdicts(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"healthy", "p: 0 2048 thin-pool 1 5/100 7/200 - rw discard_passdown queue_if_no_space - 10", ""},
		{"full", "p: 0 2048 thin-pool 1 5/100 200/200 - out_of_data_space discard_passdown queue_if_no_space - 10", "data space exhausted"},
		{"metadata full", "p: 0 2048 thin-pool 1 100/100 7/200 - rw discard_passdown error_if_no_space -", "metadata space exhausted"},
		{"needs check", "p: 0 2048 thin-pool 1 5/100 7/200 - ro discard_passdown queue_if_no_space needs_check 10", "the pool's metadata must be checked by thin_check"},
		{"failed", "p: 0 2048 thin-pool Fail", "the pool has failed: its metadata must be repaired"},
		{"no name", "0 2048 thin-pool 1 5/100 7/200 - ro discard_passdown queue_if_no_space -", "pool read-only though it is not full: its metadata could not be written, or its device has errors"},
		{"below docker's minimum", "devmapper: Thin Pool has 158057 free data blocks which is less than minimum required 163840 free data blocks.", "below docker's minimum free space, not full"},
		{"docker's pool is full", "devmapper: Thin Pool has 0 free data blocks which is less than minimum required 163840 free data blocks.", "data space exhausted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tables := Tables([]byte(tt.in))
			if len(tables) != 1 || tables[0].Verdict != tt.want {
				t.Errorf("got %+v, want one with %q", tables, tt.want)
			}
		})
	}
}

// A table is told in words, with what to do.
func TestTableWords(t *testing.T) {
	for _, tt := range []struct {
		name, in   string
		says, next string // part of it; "" for a next: nothing to do
	}{
		{"healthy", "p: 0 2048 thin-pool 1 5/100 7/200 - rw discard_passdown queue_if_no_space - 10", "Pool p uses 7 of 200 blocks of data (3 %), uses 5 of 100 blocks of metadata (5 %), is in mode rw, lets writes wait", ""},
		{"nearly full", "p: 0 2048 thin-pool 1 5/100 160/200 - rw discard_passdown error_if_no_space - 10", "160 of 200 blocks of data (80 %)", "make it larger (lvextend -L +SIZE GROUP/POOL)"},
		{"failed", "p: 0 2048 thin-pool Fail", "Pool p is in mode Fail.", "save the metadata first"},
		{"docker's sizes", " Data Space Used: 900MB\n Data Space Total: 1.1GB\n Metadata Space Used: 1.5kB\n Metadata Space Total: 2GB", "900MB of 1.1GB of data (81 %), uses 1.5kB of 2GB of metadata (0 %)", "make it larger"},
		{"docker's sizes, of another kind", "Pool Name: x\n Data Space Used: many\n Data Space Total: 1GB", "uses many of 1GB of data.", ""},
		{"open", "Name: x\nState: ACTIVE\nOpen count: 2\nMajor, minor: 253, 7", "Device x (253:7) is ACTIVE and is open (count 2)", "sexton holders 253:7"},
		{"idle", "x 253 7 L--w 0 1 0 LVM-a", "Device x (253:7) is open nowhere", ""},
		{"suspended", "Name: x\nState: SUSPENDED\nOpen count: 2\nMajor, minor: 253, 7", "is SUSPENDED", "dmsetup resume x"},
		{"deferred", "Name: x\nState: ACTIVE (DEFERRED REMOVE)\nOpen count: 1\nMajor, minor: 253, 7", "DEFERRED REMOVE", "sexton holders 253:7"},
		{"lvs", "thinpool docker twi-aot--- 95.00g 85.00 1.50", "Pool thinpool in group docker is 95.00g large, 85.00 % of it in use, and 1.50 % of its metadata", "lvextend -L +SIZE docker/thinpool"},
		{"lvs, not active", "thinpool docker twi---t--- 95.00g 5.00 1.50", "it is not active", ""},
		{"lvs, full metadata", "thinpool docker twi-aotz-- 95.00g 5.00 100.00", "100.00 % of its metadata", "lvextend --poolmetadatasize +SIZE docker/thinpool"},
		{"a full volume is no full pool", "vm-1 pve Vwi-aotz-- 32.00g data 99.00", "Volume vm-1 of pool data in group pve", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tables := Tables([]byte(tt.in))
			if len(tables) != 1 || !strings.Contains(tables[0].Says, tt.says) || !strings.Contains(tables[0].Next, tt.next) || tt.next == "" && tables[0].Next != "" {
				t.Errorf("got %+v, want %q and %q", tables, tt.says, tt.next)
			}
		})
	}
}

// What is no table, or is cut, gives none.
func TestNoTable(t *testing.T) {
	for _, in := range []string{
		"", "p: 0 2048 thin-pool", "p: 0 2048 thin-pool 1 5/100", "p: 0 2048 thin-pool 254:0 254:1 128 32768 0", "p: 0 2048 thin-pool 1 -5/100 7/200",
		"Name: web\nAge: 3", "a 1 2 L--w 3 4", "Pool Name: x", "the thin-pool is full", "lv vg twi-aotz-- 10g", "Thin Pool has many free data blocks which is less than minimum required 5 free",
		busy1,
	} {
		if tables := Tables([]byte(in)); len(tables) != 0 {
			t.Errorf("%q: %+v", in, tables)
		}
	}
}

func FuzzTables(f *testing.F) {
	for _, r := range append(rows(f, "thinpool.jsonl"), rows(f, "tables.jsonl")...) {
		f.Add([]byte(r.Text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, table := range Tables(text) {
			if table.Kind == "" {
				t.Errorf("no kind: %+v", table)
			}
			if _, err := json.Marshal(table); err != nil {
				t.Error(err)
			}
			for _, name := range []string{table.Pool, table.Device, table.VG} {
				if !strings.Contains(clean(string(text)), name) && len(text) < longest && !strings.ContainsAny(string(text), "\x1b\n\r") {
					t.Errorf("%q is not in %q", name, text)
				}
			}
		}
	})
}
