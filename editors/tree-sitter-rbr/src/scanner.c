// Where does a statement end? At a newline that the grammar lets end it, unless the next text goes on with it.
#include "tree_sitter/parser.h"

#include <string.h>

enum { LINE_END };

void *tree_sitter_rbr_external_scanner_create(void) { return NULL; }
void tree_sitter_rbr_external_scanner_destroy(void *payload) { (void)payload; }
unsigned tree_sitter_rbr_external_scanner_serialize(void *payload, char *buffer) {
  (void)payload, (void)buffer;
  return 0;
}
void tree_sitter_rbr_external_scanner_deserialize(void *payload, const char *buffer, unsigned length) {
  (void)payload, (void)buffer, (void)length;
}

static bool blank(int32_t character) { return character != 0 && strchr(" \t\f\r\n", character) != NULL; }

bool tree_sitter_rbr_external_scanner_scan(void *payload, TSLexer *lexer, const bool *valid) {
  (void)payload;
  if (!valid[LINE_END]) return false;
  while (lexer->lookahead != '\n' && lexer->lookahead < 128 && blank(lexer->lookahead)) lexer->advance(lexer, true);
  if (lexer->lookahead != '\n') return false;
  lexer->advance(lexer, false);
  lexer->mark_end(lexer);
  lexer->result_symbol = LINE_END;
  for (;;) {
    if (lexer->lookahead == '#') {
      while (lexer->lookahead != '\n' && !lexer->eof(lexer)) lexer->advance(lexer, false);
    } else if (lexer->lookahead < 128 && blank(lexer->lookahead)) {
      lexer->advance(lexer, false);
    } else {
      break;
    }
  }
  return lexer->eof(lexer) || lexer->lookahead >= 128 || lexer->lookahead == 0 ||
         strchr("&|=><!{", lexer->lookahead) == NULL;
}
