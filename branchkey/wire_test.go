package branchkey

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"esdk"
)

type object = map[string]any

// fakeDynamoDB records requests and stores items. It supports the conditions of
// the specification only.
type fakeDynamoDB struct {
	*httptest.Server
	mu       sync.Mutex
	requests []object // with the operation as "op"
	items    map[string]object
	page     int                                                   // the number of items in a page of a list; 0 means all
	done     map[string]bool                                       // the tokens of transactions
	answer   func(op string, body object) (status int, out object) // nil: as usual
}

func newFakeDynamoDB(t testing.TB) *fakeDynamoDB {
	f := &fakeDynamoDB{items: map[string]object{}, done: map[string]bool{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeDynamoDB) storage(t testing.TB) Storage {
	return ok[Storage](t)(NewDynamoDBStorage(newDynamoDBClient(f.URL), "table"))
}

func (f *fakeDynamoDB) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	text, _ := io.ReadAll(r.Body)
	var body object
	json.Unmarshal(text, &body)
	f.mu.Lock()
	defer f.mu.Unlock()
	recorded := object{"op": op}
	for k, v := range body {
		if k != "ClientRequestToken" { // random, makes retries idempotent
			recorded[k] = v
		}
	}
	f.requests = append(f.requests, recorded)
	status, out := 0, object(nil)
	if f.answer != nil {
		status, out = f.answer(op, body)
	}
	if status == 0 {
		status, out = f.usual(op, body)
	}
	writeAnswer(w, status, out)
}

func writeAnswer(w http.ResponseWriter, status int, out object) {
	answer, _ := json.Marshal(out)
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE(answer)))
	w.WriteHeader(status)
	w.Write(answer)
}

func itemKey(attributes any) string {
	a := attributes.(object)
	return fmt.Sprint(a[idAttribute], a[typeAttribute])
}

func (f *fakeDynamoDB) usual(op string, body object) (int, object) {
	switch op {
	case "TransactWriteItems":
		return f.write(body)
	case "GetItem":
		if item := f.items[itemKey(body["Key"])]; item != nil {
			return 200, object{"Item": item}
		}
	case "Query", "Scan":
		return f.list(body)
	}
	return 200, object{}
}

// list answers with a page. As in DynamoDB, a full page has a next key even if
// nothing follows, and the branch keys of a table are ordered by their hashes.
func (f *fakeDynamoDB) list(body object) (int, object) {
	values, isQuery := body["ExpressionAttributeValues"].(object)
	if isQuery && body["KeyConditionExpression"] != "#id = :id" {
		return failure("ValidationException")
	}
	items := map[string]object{}
	for _, item := range f.items {
		if !isQuery || reflect.DeepEqual(item[idAttribute], values[":id"]) {
			items[placeOf(item)] = item
		}
	}
	after := ""
	if start, ok := body["ExclusiveStartKey"].(object); ok {
		after = placeOf(start)
	}
	page := []object{}
	for _, place := range slices.Sorted(maps.Keys(items)) {
		if place <= after {
			continue
		}
		page = append(page, items[place])
		if len(page) == f.page {
			last := items[place]
			return 200, object{"Items": page, "LastEvaluatedKey": object{idAttribute: last[idAttribute], typeAttribute: last[typeAttribute]}}
		}
	}
	return 200, object{"Items": page}
}

// placeOf returns the position of an item in the order of a table.
func placeOf(item object) string {
	id := fmt.Sprint(item[idAttribute].(object)["S"])
	return fmt.Sprintf("%x %s %s", sha256.Sum256([]byte(id)), id, item[typeAttribute].(object)["S"])
}

// write executes a transaction once, if all of its conditions hold.
func (f *fakeDynamoDB) write(body object) (int, object) {
	token := fmt.Sprint(body["ClientRequestToken"])
	if f.done[token] {
		return 200, object{}
	}
	var codes []string
	for _, action := range body["TransactItems"].([]any) {
		code := "None"
		if !f.holds(action.(object)["Put"].(object)) {
			code = "ConditionalCheckFailed"
		}
		codes = append(codes, code)
	}
	if slices.Contains(codes, "ConditionalCheckFailed") {
		return reasons(codes...)
	}
	f.done[token] = true
	for _, action := range body["TransactItems"].([]any) {
		item := action.(object)["Put"].(object)["Item"].(object)
		f.items[itemKey(item)] = item
	}
	return 200, object{}
}

func (f *fakeDynamoDB) holds(put object) bool {
	stored := f.items[itemKey(put["Item"])]
	if put["ConditionExpression"] == "attribute_not_exists(#id)" {
		return stored == nil
	}
	values, _ := put["ExpressionAttributeValues"].(object)
	return stored != nil && reflect.DeepEqual(stored[encAttribute], values[":encOld"])
}

func (f *fakeDynamoDB) take() []object {
	f.mu.Lock()
	defer f.mu.Unlock()
	requests := f.requests
	f.requests = nil
	return requests
}

func (f *fakeDynamoDB) setAnswer(answer func(op string, body object) (int, object)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

// failure returns DynamoDB's answer for an error.
func failure(code string, more ...any) (int, object) {
	out := object{"__type": "com.amazonaws.dynamodb.v20120810#" + code, "message": "a message"}
	for i := 0; i < len(more); i += 2 {
		out[more[i].(string)] = more[i+1]
	}
	return 400, out
}

func wantRequests(t *testing.T, what string, got, want []object) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d requests, want %d: %v", what, len(got), len(want), got)
		return
	}
	for i := range got {
		a, b := normal(t, got[i]), normal(t, want[i])
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: request %d:\n got %v\nwant %v", what, i, a, b)
		}
	}
}

// normal returns a value after a round trip through JSON.
func normal(t testing.TB, v any) (out any) {
	text := ok[[]byte](t)(json.Marshal(v))
	must(t, json.Unmarshal(text, &out))
	return out
}

func takeKMS(k *kmsEnv) (requests []object) {
	for _, r := range k.Requests() {
		o := object{"op": r.Operation}
		for name, value := range r.Input {
			o[name] = value
		}
		requests = append(requests, o)
	}
	k.Reset()
	return requests
}

func str(s string) object     { return object{"S": s} }
func bin(b []byte) object     { return object{"B": base64.StdEncoding.EncodeToString(b)} }
func b64(enc []byte) string   { return base64.StdEncoding.EncodeToString(enc) }
func itemOf(i *Item) object   { return attributesOf(i, bin(i.Enc)) }
func keyOf(i *Item) object    { return object{"branch-key-id": str(i.ID), "type": str(i.Type)} }
func tokens() []string        { return []string{"token-1"} }
func getItem1(i *Item) object { return object{"op": "GetItem", "TableName": "table", "Key": keyOf(i)} }

func getConsistent(i *Item) object {
	r := getItem1(i)
	r["ConsistentRead"] = true
	return r
}

// attributesOf spells out the attributes of an item as the specification does.
func attributesOf(i *Item, enc object) object {
	out := object{
		"branch-key-id": str(i.ID), "type": str(i.Type), "enc": enc,
		"kms-arn": str(i.Attributes["kms-arn"]), "create-time": str(i.Attributes["create-time"]),
		"hierarchy-version": object{"N": "1"}, "aws-crypto-ec:tenant": str("17"),
	}
	if v, ok := i.Attributes["version"]; ok {
		out["version"] = str(v)
	}
	return out
}

// contextOf spells out the encryption context of an item.
func contextOf(i *Item) object {
	out := object{
		"branch-key-id": i.ID, "type": i.Type, "tablename": "logical",
		"kms-arn": i.Attributes["kms-arn"], "create-time": i.Attributes["create-time"],
		"hierarchy-version": "1", "aws-crypto-ec:tenant": "17",
	}
	if v, ok := i.Attributes["version"]; ok {
		out["version"] = v
	}
	return out
}

func putOf(i *Item, old []byte) object {
	put := object{
		"TableName": "table", "Item": itemOf(i),
		"ConditionExpression":      "attribute_not_exists(#id)",
		"ExpressionAttributeNames": object{"#id": "branch-key-id"},
	}
	if old != nil {
		put["ConditionExpression"] = "attribute_exists(#id) AND enc = :encOld"
		put["ExpressionAttributeValues"] = object{":encOld": bin(old)}
	}
	return object{"Put": put}
}

func (k *kmsEnv) generateOf(i *Item) object {
	return object{
		"op": "GenerateDataKeyWithoutPlaintext", "KeyId": k.arn, "NumberOfBytes": 32,
		"EncryptionContext": contextOf(i), "GrantTokens": tokens(),
	}
}

func (k *kmsEnv) reEncryptOf(from, to *Item) object {
	return object{
		"op": "ReEncrypt", "CiphertextBlob": b64(from.Enc), "SourceKeyId": k.arn, "DestinationKeyId": k.arn,
		"SourceEncryptionContext": contextOf(from), "DestinationEncryptionContext": contextOf(to), "GrantTokens": tokens(),
	}
}

func (k *kmsEnv) decryptOf(i *Item) object {
	return object{"op": "Decrypt", "KeyId": k.arn, "CiphertextBlob": b64(i.Enc), "EncryptionContext": contextOf(i), "GrantTokens": tokens()}
}

// itemsOf returns the items of a branch key in the fake.
func (f *fakeDynamoDB) itemsOf(t *testing.T, id string) (active, stays, beacon *Item) {
	s := f.storage(t)
	active = ok[*Item](t)(s.Get(t.Context(), id, "branch:ACTIVE", true))
	stays = ok[*Item](t)(s.Get(t.Context(), id, active.Attributes["version"], true))
	beacon = ok[*Item](t)(s.Get(t.Context(), id, "beacon:ACTIVE", true))
	f.take()
	return active, stays, beacon
}

// TestRequests compares all requests of each operation with the specification.
func TestRequests(t *testing.T) {
	k, db := newKMS(t), newFakeDynamoDB(t)
	config := k.config(db.storage(t))
	config.GrantTokens = []string{k.CreateGrant(k.arn)}
	s := ok[*Store](t)(NewStore(config))
	check := func(what string, wantKMS, wantDB []object) {
		t.Helper()
		for _, r := range wantKMS {
			r["GrantTokens"] = config.GrantTokens
		}
		wantRequests(t, what+": DynamoDB", db.take(), wantDB)
		for _, r := range k.Requests() {
			if agent := r.Header.Get("User-Agent"); !strings.Contains(agent, "aws-kms-hierarchy") {
				t.Errorf("user agent %q", agent)
			}
		}
		wantRequests(t, what+": KMS", takeKMS(k), wantKMS)
	}

	ok[string](t)(s.CreateKey(t.Context(), "key", esdk.EncryptionContext{"tenant": "17"}))
	wrote := db.take()
	active, stays, beacon := db.itemsOf(t, "key")
	db.requests = wrote
	check("CreateKey",
		[]object{k.generateOf(stays), k.reEncryptOf(stays, active), k.generateOf(beacon)},
		[]object{{"op": "TransactWriteItems", "TransactItems": []object{putOf(stays, nil), putOf(active, nil), putOf(beacon, nil)}}})

	ok[*Key](t)(s.ActiveBranchKey(t.Context(), "key"))
	check("ActiveBranchKey", []object{k.decryptOf(active)}, []object{getConsistent(active)})

	ok[*Key](t)(s.BranchKeyVersion(t.Context(), "key", stays.version()))
	check("BranchKeyVersion", []object{k.decryptOf(stays)}, []object{getItem1(stays)})

	ok[*Key](t)(s.BeaconKey(t.Context(), "key"))
	check("BeaconKey", []object{k.decryptOf(beacon)}, []object{getItem1(beacon)})

	absent := &Item{ID: "none", Type: "beacon:ACTIVE"}
	_, err := s.BeaconKey(t.Context(), "none")
	wantError(t, err, ErrNotFound)
	check("BeaconKey of none", nil, []object{getItem1(absent), getConsistent(absent)})

	must(t, s.VersionKey(t.Context(), "key"))
	wrote = db.take()
	active2, stays2, _ := db.itemsOf(t, "key")
	db.requests = wrote
	check("VersionKey",
		[]object{k.reEncryptOf(active, active), k.generateOf(stays2), k.reEncryptOf(stays2, active2)},
		[]object{getConsistent(active), {"op": "TransactWriteItems", "TransactItems": []object{putOf(stays2, nil), putOf(active2, active.Enc)}}})
	testRekeyRequests(t, k, db, s, check)
	if active2.version() == active.version() || stays2.Attributes["create-time"] == stays.Attributes["create-time"] {
		t.Error("the second version has the id or the time of the first")
	}
}

// testRekeyRequests re-keys with pages of two items.
func testRekeyRequests(t *testing.T, k *kmsEnv, db *fakeDynamoDB, s *Store, check func(what string, wantKMS, wantDB []object)) {
	db.page = 2
	before := itemsNow(t, s.storage, "key")
	db.take()
	order := slices.Sorted(maps.Keys(before)) // active, beacon, then two versions
	if len(order) != 4 || order[0] != beaconType || order[1] != activeType {
		t.Fatalf("items %q", order)
	}
	pages := func(op string, query object) (requests []object) {
		for page := range 3 {
			r := withField(query, "op", op)
			if page > 0 {
				r["ExclusiveStartKey"] = keyOf(before[order[2*page-1]])
			}
			requests = append(requests, r)
		}
		return requests
	}
	scan := pages("Scan", object{"TableName": "table", "ConsistentRead": true})
	query := pages("Query", object{
		"TableName": "table", "ConsistentRead": true, "KeyConditionExpression": "#id = :id",
		"ExpressionAttributeNames": object{"#id": "branch-key-id"}, "ExpressionAttributeValues": object{":id": str("key")},
	})
	ok[[]*Entry](t)(collect(s.List(t.Context(), "")))
	check("List of all", nil, scan)
	ok[[]*Entry](t)(collect(s.List(t.Context(), "key")))
	check("List", nil, query)

	second := k.another()
	if n := ok[int](t)(s.RekeyBranchKey(t.Context(), "key", second)); n != 4 {
		t.Errorf("re-keyed %d items", n)
	}
	wrote := db.take()
	after := itemsNow(t, s.storage, "key")
	db.requests = wrote
	put := func(itemType string) object {
		return object{"op": "TransactWriteItems", "TransactItems": []object{putOf(after[itemType], before[itemType].Enc)}}
	}
	reEncrypt := func(itemType string) object {
		return withField(k.reEncryptOf(before[itemType], after[itemType]), "DestinationKeyId", second)
	}
	check("RekeyBranchKey",
		[]object{reEncrypt(activeType), reEncrypt(beaconType), reEncrypt(order[2]), reEncrypt(order[3])},
		[]object{
			getConsistent(before[activeType]), put(activeType),
			query[0], put(beaconType), query[1], put(order[2]), put(order[3]), query[2],
			getConsistent(before[activeType]),
		})
	ok[int](t)(s.RekeyBranchKey(t.Context(), "key", second))
	check("RekeyBranchKey, again", nil, append(append([]object{getConsistent(before[activeType])}, query...), getConsistent(before[activeType])))
}

var wireSchema = object{
	"TableName": "table", "TableArn": "arn:table", "TableStatus": "ACTIVE",
	"KeySchema": []object{{"AttributeName": "branch-key-id", "KeyType": "HASH"}, {"AttributeName": "type", "KeyType": "RANGE"}},
	"AttributeDefinitions": []object{
		{"AttributeName": "branch-key-id", "AttributeType": "S"}, {"AttributeName": "type", "AttributeType": "S"},
	},
}

func withField(o object, name string, value any) object {
	c := object{name: value}
	for k, v := range o {
		if k != name {
			c[k] = v
		}
	}
	return c
}

func TestCreateKeyStoreRequests(t *testing.T) {
	k, db := newKMS(t), newFakeDynamoDB(t)
	s := k.with(t, db.storage(t), func(*Config) {})
	describe := object{"op": "DescribeTable", "TableName": "table"}
	create := object{
		"op": "CreateTable", "TableName": "table", "BillingMode": "PAY_PER_REQUEST",
		"KeySchema": wireSchema["KeySchema"], "AttributeDefinitions": wireSchema["AttributeDefinitions"],
	}
	described := 0
	missing := func(op string, _ object) (int, object) {
		if op == "CreateTable" {
			return 200, object{"TableDescription": withField(wireSchema, "TableStatus", "CREATING")}
		}
		described++
		switch described {
		case 1:
			return failure("ResourceNotFoundException")
		case 2:
			return 200, object{"Table": withField(wireSchema, "TableStatus", "CREATING")}
		}
		return 200, object{"Table": wireSchema}
	}
	db.setAnswer(missing)
	if arn := ok[string](t)(s.CreateKeyStore(t.Context())); arn != "arn:table" {
		t.Errorf("ARN is %q", arn)
	}
	wantRequests(t, "missing", db.take(), []object{describe, create, describe, describe})

	db.setAnswer(func(string, object) (int, object) {
		more := withField(wireSchema, "AttributeDefinitions", append([]object{{"AttributeName": "x", "AttributeType": "N"}}, wireSchema["AttributeDefinitions"].([]object)...))
		more["GlobalSecondaryIndexes"] = []object{{"IndexName": "by-x"}}
		return 200, object{"Table": more}
	})
	ok[string](t)(s.CreateKeyStore(t.Context()))
	wantRequests(t, "there", db.take(), []object{describe})

	for name, schema := range map[string]object{
		"only a hash key":  withField(wireSchema, "KeySchema", wireSchema["KeySchema"].([]object)[:1]),
		"other hash key":   withField(wireSchema, "KeySchema", []object{{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "type", "KeyType": "RANGE"}}),
		"swapped":          withField(wireSchema, "KeySchema", []object{{"AttributeName": "branch-key-id", "KeyType": "RANGE"}, {"AttributeName": "type", "KeyType": "HASH"}}),
		"a number as type": withField(wireSchema, "AttributeDefinitions", []object{{"AttributeName": "branch-key-id", "AttributeType": "S"}, {"AttributeName": "type", "AttributeType": "N"}}),
	} {
		db.setAnswer(func(string, object) (int, object) { return 200, object{"Table": schema} })
		if _, err := s.CreateKeyStore(t.Context()); err == nil || !strings.Contains(err.Error(), "key schema") {
			t.Errorf("%s: %v", name, err)
		} else {
			wantError(t, err, ErrSchema)
		}
	}
	described = 0
	db.setAnswer(func(op string, body object) (int, object) {
		if op == "CreateTable" { // somebody else was faster
			return failure("ResourceInUseException")
		}
		return missing(op, body)
	})
	db.take()
	ok[string](t)(s.CreateKeyStore(t.Context()))
	wantRequests(t, "made by another", db.take(), []object{describe, create, describe, describe})

	db.setAnswer(func(string, object) (int, object) { return 200, object{} })
	_, err := s.CreateKeyStore(t.Context())
	wantError(t, err, ErrSchema)
	db.setAnswer(func(op string, _ object) (int, object) {
		if op == "DescribeTable" {
			return failure("ResourceNotFoundException")
		}
		return failure("LimitExceededException")
	})
	var limit *types.LimitExceededException
	_, err = s.CreateKeyStore(t.Context())
	wantError(t, err, &limit)
}

// TestDynamoDBSchema runs the same checks against a real table.
func TestDynamoDBSchema(t *testing.T) {
	client := dynamoDBClient(t)
	table := newTableName()
	ok[*dynamodb.CreateTableOutput](t)(client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &table, KeySchema: keySchema[:1], AttributeDefinitions: attributeDefinitions[:1], BillingMode: types.BillingModePayPerRequest,
	}))
	defer client.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: &table})
	s := newKMS(t).with(t, ok[Storage](t)(NewDynamoDBStorage(client, table)), func(*Config) {})
	_, err := s.CreateKeyStore(t.Context())
	wantError(t, err, ErrSchema)
}

// An attribute that isn't a string can't have been authenticated.
func TestDynamoDBAttributeTypes(t *testing.T) {
	k, db := newKMS(t), newFakeDynamoDB(t)
	s := k.with(t, db.storage(t), func(*Config) {})
	ok[string](t)(s.CreateKey(t.Context(), "key", esdk.EncryptionContext{"tenant": "17"}))
	good := db.items[itemKey(object{idAttribute: str("key"), typeAttribute: str(activeType)})]
	for name, value := range map[string]object{
		"ttl":                  {"N": "1700000000"},
		"enc":                  {"S": "text"},
		"hierarchy-version":    {"S": "1"},
		"create-time":          {"N": "1"},
		"flag":                 {"BOOL": true},
		"list":                 {"L": []object{str("a")}},
		"null":                 {"NULL": true},
		"aws-crypto-ec:tenant": {"SS": []string{"17"}},
		"blob":                 bin([]byte("x")),
	} {
		db.setAnswer(func(op string, _ object) (int, object) { return 200, object{"Item": withField(good, name, value)} })
		_, err := s.ActiveBranchKey(t.Context(), "key")
		wantError(t, err, ErrItem)
	}
}
