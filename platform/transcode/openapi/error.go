package openapi

// errorSchemas describe what transcode.WriteError writes.
func errorSchemas() object {
	return object{"Error": object{
		"type":        "object",
		"description": "An error answer, as AIP-193 has it.",
		"required":    []any{"error"},
		"properties": object{"error": object{
			"type":     "object",
			"required": []any{"code", "status", "message"},
			"properties": object{
				"code":    object{"type": "integer", "description": "The HTTP status code."},
				"status":  object{"type": "string", "description": "The kind, one of google.rpc.Code, such as NOT_FOUND."},
				"message": object{"type": "string", "description": "What happened, for people."},
				"details": object{
					"type":        "array",
					"description": "What happened, for programs: google.rpc.ErrorInfo with a stable reason, google.rpc.BadRequest with the fields at fault, and others.",
					"items": object{
						"type":                 "object",
						"required":             []any{"@type"},
						"properties":           object{"@type": object{"type": "string", "description": "The type of the detail, a URL."}},
						"additionalProperties": true,
					},
				},
			},
		}},
	}}
}

func errorResponse() object {
	return object{
		"description": "The request failed.",
		"content":     object{"application/json": object{"schema": object{"$ref": "#/components/schemas/Error"}}},
	}
}
