package branchkey

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"esdk/internal/isnil"
)

// A DynamoDBClient is the part of a [*dynamodb.Client] that a storage needs. It
// must be safe for concurrent use, as [*dynamodb.Client] is.
type DynamoDBClient interface {
	CreateTable(ctx context.Context, in *dynamodb.CreateTableInput, options ...func(*dynamodb.Options)) (*dynamodb.CreateTableOutput, error)
	DescribeTable(ctx context.Context, in *dynamodb.DescribeTableInput, options ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
	GetItem(ctx context.Context, in *dynamodb.GetItemInput, options ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, options ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

// A listingClient is the part of a [*dynamodb.Client] that listing items needs
// in addition.
type listingClient interface {
	Query(ctx context.Context, in *dynamodb.QueryInput, options ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	Scan(ctx context.Context, in *dynamodb.ScanInput, options ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
}

// createTimeout is how long a new table may take to become active.
const createTimeout = 5 * time.Minute

type dynamoDBStorage struct {
	client DynamoDBClient
	table  string
}

// NewDynamoDBStorage returns a storage in a table of DynamoDB, which the
// official SDKs can use, too. If client is nil, the storage makes a client from
// the AWS SDK's default configuration: environment, shared files and roles. Its
// Region is the Region of the KMS key or MRDiscovery of the [Store] that uses
// the storage, or the default Region with Discovery. A nil pointer is an error.
// Listing items also needs the methods Query and Scan of [*dynamodb.Client].
func NewDynamoDBStorage(client DynamoDBClient, table string) (Storage, error) {
	if table == "" {
		return nil, errors.New("branchkey: table name is empty")
	}
	if client != nil && isnil.Value(client) {
		return nil, fmt.Errorf("branchkey: the DynamoDB client is a nil %T", client)
	}
	if client == nil {
		return &defaultDynamoDB{dynamoDBStorage{table: table}, "", make(chan struct{}, 1)}, nil
	}
	return &dynamoDBStorage{client, table}, nil
}

// defaultDynamoDB makes its client on first use.
type defaultDynamoDB struct {
	made   dynamoDBStorage
	region string
	lock   chan struct{} // a mutex whose waiters give up when their context ends
}

func (d *defaultDynamoDB) in(region string) Storage {
	return &defaultDynamoDB{dynamoDBStorage{table: d.made.table}, region, make(chan struct{}, 1)}
}

func (d *defaultDynamoDB) storage(ctx context.Context) (*dynamoDBStorage, error) {
	select {
	case d.lock <- struct{}{}:
		defer func() { <-d.lock }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if d.made.client == nil {
		c, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return nil, err
		}
		if d.region != "" {
			c.Region = d.region
		}
		d.made.client = dynamodb.NewFromConfig(c)
	}
	return &d.made, nil
}

func (d *defaultDynamoDB) Name() string { return d.made.table }

func (d *defaultDynamoDB) Create(ctx context.Context) (string, error) {
	s, err := d.storage(ctx)
	if err != nil {
		return "", err
	}
	return s.Create(ctx)
}

func (d *defaultDynamoDB) Get(ctx context.Context, id, itemType string, consistent bool) (*Item, error) {
	s, err := d.storage(ctx)
	if err != nil {
		return nil, err
	}
	return s.Get(ctx, id, itemType, consistent)
}

func (d *defaultDynamoDB) List(ctx context.Context, id string) iter.Seq2[*Item, error] {
	return func(yield func(*Item, error) bool) {
		s, err := d.storage(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		s.List(ctx, id)(yield)
	}
}

func (d *defaultDynamoDB) Write(ctx context.Context, puts ...Put) error {
	s, err := d.storage(ctx)
	if err != nil {
		return err
	}
	return s.Write(ctx, puts...)
}

func (d *dynamoDBStorage) Name() string { return d.table }

// This is the schema of the table.
//
// Specification: framework/branch-key-store.md#keyschema.
var (
	keySchema = []types.KeySchemaElement{
		{AttributeName: aws.String(idAttribute), KeyType: types.KeyTypeHash},
		{AttributeName: aws.String(typeAttribute), KeyType: types.KeyTypeRange},
	}
	attributeDefinitions = []types.AttributeDefinition{
		{AttributeName: aws.String(idAttribute), AttributeType: types.ScalarAttributeTypeS},
		{AttributeName: aws.String(typeAttribute), AttributeType: types.ScalarAttributeTypeS},
	}
)

func (d *dynamoDBStorage) Create(ctx context.Context) (string, error) {
	table, err := d.describe(ctx)
	if errors.Is(err, ErrNoKeyStore) {
		table, err = d.createTable(ctx)
	}
	if err != nil {
		return "", err
	}
	if table != nil && table.TableStatus == types.TableStatusCreating {
		if table, err = d.wait(ctx); err != nil {
			return "", err
		}
	}
	if table == nil {
		return "", fmt.Errorf("%w: DynamoDB does not describe the table %s", ErrSchema, d.table)
	}
	if err := checkSchema(table); err != nil {
		return "", err
	}
	return aws.ToString(table.TableArn), nil
}

func (d *dynamoDBStorage) describe(ctx context.Context) (*types.TableDescription, error) {
	out, err := answered(d.client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &d.table}, limitDynamoDB))
	if err != nil {
		return nil, d.error("DescribeTable", err)
	}
	return out.Table, nil
}

func (d *dynamoDBStorage) createTable(ctx context.Context) (*types.TableDescription, error) {
	out, err := answered(d.client.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName:            &d.table,
		KeySchema:            keySchema,
		AttributeDefinitions: attributeDefinitions,
		BillingMode:          types.BillingModePayPerRequest,
	}, limitDynamoDB))
	var exists *types.ResourceInUseException
	if errors.As(err, &exists) {
		return d.describe(ctx) // somebody else was faster
	}
	if err != nil {
		return nil, d.error("CreateTable", err)
	}
	return out.TableDescription, nil
}

func (d *dynamoDBStorage) wait(ctx context.Context) (*types.TableDescription, error) {
	waiter := dynamodb.NewTableExistsWaiter(describer{d.client}, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 100*time.Millisecond, 5*time.Second
		o.ClientOptions = append(o.ClientOptions, limitDynamoDB)
	})
	out, err := waiter.WaitForOutput(ctx, &dynamodb.DescribeTableInput{TableName: &d.table}, createTimeout)
	if err != nil {
		return nil, d.error("DescribeTable", err)
	}
	return out.Table, nil
}

// A describer is a client with answers that the waiter of the AWS SDK can look
// into: never nil.
type describer struct{ DynamoDBClient }

func (d describer) DescribeTable(ctx context.Context, in *dynamodb.DescribeTableInput, options ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error) {
	return answered(d.DynamoDBClient.DescribeTable(ctx, in, options...))
}

func checkSchema(table *types.TableDescription) error {
	var columns []string
	for _, k := range table.KeySchema {
		for _, a := range table.AttributeDefinitions {
			if aws.ToString(a.AttributeName) == aws.ToString(k.AttributeName) {
				columns = append(columns, fmt.Sprint(aws.ToString(a.AttributeName), " ", k.KeyType, " ", a.AttributeType))
			}
		}
	}
	slices.Sort(columns)
	want := []string{idAttribute + " HASH S", typeAttribute + " RANGE S"}
	if !slices.Equal(columns, want) {
		return fmt.Errorf("%w: the table %s has the key schema %q, need %q", ErrSchema, aws.ToString(table.TableName), columns, want)
	}
	return nil
}

func (d *dynamoDBStorage) Get(ctx context.Context, id, itemType string, consistent bool) (*Item, error) {
	in := &dynamodb.GetItemInput{
		TableName: &d.table,
		Key: map[string]types.AttributeValue{
			idAttribute:   &types.AttributeValueMemberS{Value: id},
			typeAttribute: &types.AttributeValueMemberS{Value: itemType},
		},
	}
	if consistent {
		in.ConsistentRead = &consistent
	}
	out, err := answered(d.client.GetItem(ctx, in, limitDynamoDB))
	if err != nil {
		return nil, d.error("GetItem", err)
	}
	if len(out.Item) == 0 {
		return nil, ErrNotFound
	}
	return decodeItem(out.Item)
}

// List fetches pages of at most 1 MB.
func (d *dynamoDBStorage) List(ctx context.Context, id string) iter.Seq2[*Item, error] {
	return func(yield func(*Item, error) bool) {
		client, ok := d.client.(listingClient)
		if !ok {
			yield(nil, fmt.Errorf("branchkey: the DynamoDB client, a %T, has no Query and Scan", d.client))
			return
		}
		var after attributeMap
		for more := true; more; more = len(after) > 0 {
			items, next, err := d.page(ctx, client, id, after)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, attributes := range items {
				item, err := decodeItem(attributes)
				if err != nil {
					item = &Item{ID: stringOf(attributes[idAttribute]), Type: stringOf(attributes[typeAttribute])}
				}
				if !yield(item, err) {
					return
				}
			}
			after = next
		}
	}
}

type attributeMap = map[string]types.AttributeValue

// page returns one page of the items of a branch key, or of all items if id is
// empty. It also returns the key that the next page starts after.
func (d *dynamoDBStorage) page(ctx context.Context, c listingClient, id string, after attributeMap) (items []attributeMap, next attributeMap, err error) {
	if id == "" {
		out, err := answered(c.Scan(ctx, &dynamodb.ScanInput{
			TableName: &d.table, ConsistentRead: aws.Bool(true), ExclusiveStartKey: after,
		}, limitList))
		if err != nil {
			return nil, nil, d.error("Scan", err)
		}
		return out.Items, out.LastEvaluatedKey, nil
	}
	out, err := answered(c.Query(ctx, &dynamodb.QueryInput{
		TableName: &d.table, ConsistentRead: aws.Bool(true), ExclusiveStartKey: after,
		KeyConditionExpression:    aws.String("#id = :id"),
		ExpressionAttributeNames:  map[string]string{"#id": idAttribute},
		ExpressionAttributeValues: attributeMap{":id": &types.AttributeValueMemberS{Value: id}},
	}, limitList))
	if err != nil {
		return nil, nil, d.error("Query", err)
	}
	return out.Items, out.LastEvaluatedKey, nil
}

// stringOf returns a string attribute, or "" if v isn't a string.
func stringOf(v types.AttributeValue) string {
	if s, ok := v.(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

func decodeItem(attributes map[string]types.AttributeValue) (*Item, error) {
	item := &Item{Attributes: make(map[string]string, len(attributes))}
	for name, value := range attributes {
		switch v := value.(type) {
		case *types.AttributeValueMemberB:
			if name == encAttribute {
				item.Enc = v.Value
				continue
			}
		case *types.AttributeValueMemberN:
			if name == hierarchyAttribute {
				item.Attributes[name] = v.Value
				continue
			}
		case *types.AttributeValueMemberS:
			if name != encAttribute && name != hierarchyAttribute {
				item.Attributes[name] = v.Value
				continue
			}
		}
		return nil, fmt.Errorf("%w: its attribute %q is a %T", ErrItem, name, value)
	}
	item.ID, item.Type = item.Attributes[idAttribute], item.Attributes[typeAttribute]
	delete(item.Attributes, idAttribute)
	delete(item.Attributes, typeAttribute)
	return item, nil
}

func encodeItem(item *Item) map[string]types.AttributeValue {
	attributes := map[string]types.AttributeValue{
		idAttribute:   &types.AttributeValueMemberS{Value: item.ID},
		typeAttribute: &types.AttributeValueMemberS{Value: item.Type},
		encAttribute:  &types.AttributeValueMemberB{Value: item.Enc},
	}
	for name, value := range item.Attributes {
		if name == hierarchyAttribute {
			attributes[name] = &types.AttributeValueMemberN{Value: value}
		} else {
			attributes[name] = &types.AttributeValueMemberS{Value: value}
		}
	}
	return attributes
}

// writeAttempts bounds the attempts at a transaction that DynamoDB cancels
// because another one is under way. Each attempt evaluates its conditions anew,
// so one of two writers always gets through.
const writeAttempts = 8

func (d *dynamoDBStorage) Write(ctx context.Context, puts ...Put) error {
	for attempt := 1; ; attempt++ {
		// The SDK makes a new token for each call and repeats it in its
		// retries, so a write whose answer was lost doesn't conflict with
		// itself.
		_, err := d.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: d.transaction(puts)}, limitDynamoDB)
		if err == nil {
			return nil
		}
		var cancelled *types.TransactionCanceledException
		if !errors.As(err, &cancelled) {
			return d.error("TransactWriteItems", err)
		}
		for i, r := range cancelled.CancellationReasons {
			if aws.ToString(r.Code) == "ConditionalCheckFailed" && i < len(puts) {
				return fmt.Errorf("DynamoDB table %s: %w: %w", d.table, puts[i].failed(), err)
			}
		}
		if attempt == writeAttempts || !collided(cancelled) {
			return d.error("TransactWriteItems", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(attempt) * 25 * time.Millisecond):
		}
	}
}

// collided reports whether another transaction was under way.
func collided(e *types.TransactionCanceledException) bool {
	return slices.ContainsFunc(e.CancellationReasons, func(r types.CancellationReason) bool {
		return aws.ToString(r.Code) == "TransactionConflict"
	})
}

// transaction returns the transaction that the specification prescribes. Its
// expressions refer to attributes by placeholders, since names with hyphens
// aren't allowed in expressions.
//
// Specification: framework/branch-key-store.md#versionkey.
func (d *dynamoDBStorage) transaction(puts []Put) []types.TransactWriteItem {
	items := make([]types.TransactWriteItem, len(puts))
	for i, p := range puts {
		put := &types.Put{
			TableName:                &d.table,
			Item:                     encodeItem(p.Item),
			ConditionExpression:      aws.String("attribute_not_exists(#id)"),
			ExpressionAttributeNames: map[string]string{"#id": idAttribute},
		}
		if p.Replaces != nil {
			put.ConditionExpression = aws.String("attribute_exists(#id) AND enc = :encOld")
			put.ExpressionAttributeValues = map[string]types.AttributeValue{":encOld": &types.AttributeValueMemberB{Value: p.Replaces}}
		}
		items[i].Put = put
	}
	return items
}

// error adds the name of the table, and marks a missing table with
// [ErrNoKeyStore].
func (d *dynamoDBStorage) error(operation string, err error) error {
	var noTable *types.ResourceNotFoundException
	if errors.As(err, &noTable) {
		err = fmt.Errorf("%w: %w", ErrNoKeyStore, err)
	}
	return fmt.Errorf("DynamoDB table %s: %s: %w", d.table, operation, err)
}
